"""Label and prediction files of FreiHAND's and HO-3D's form."""

import json

import numpy as np
import pytest

from hand_pipeline.geometry.joints import permutation


def write_files(folder, hands, ho3d=False):
    """evaluation_xyz.json, evaluation_verts.json and pred.json of what is in `hands`."""
    flip = np.array([1, -1, -1]) if ho3d else np.ones(3)
    order = list(permutation("openpose", "ho3d" if ho3d else "freihand"))
    values = {name: (value * flip).astype(np.float64) for name, value in hands.items()}
    xyz = {name: values[f"{name}_joints"][:, order].tolist() for name in ("pred", "gt")}
    (folder / "evaluation_xyz.json").write_text(json.dumps(xyz["gt"]))
    (folder / "evaluation_verts.json").write_text(json.dumps(values["gt_vertices"].tolist()))
    path = folder / "pred.json"
    path.write_text(json.dumps([xyz["pred"], values["pred_vertices"].tolist()]))
    return path


@pytest.fixture
def few(hands):
    return {name: value[:4] for name, value in hands.items()}


@pytest.fixture
def files():
    return write_files
