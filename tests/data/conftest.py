import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.data.photos.detector_model import DetectorModelError, resolve_model
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rasterizer import render


@pytest.fixture(scope="session")
def hand_model():
    """MediaPipe's model, fetched once into the user's cache."""
    try:
        return resolve_model()
    except DetectorModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def paint_hand():
    """Function: a picture of one hand of a known side, palm (0) or back (180 degrees) to us."""

    def paint(side: str = "right", turn: float = 0, shift: float = 0.0) -> np.ndarray:
        mano = ManoHand(side=side)
        pose = mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
        sign = 1.0 if side == "right" else -1.0
        palm = torch.tensor([[0.0, 0, sign], [sign, 0, 0], [0, 1, 0]])
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        pose[:, 0] = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) @ palm
        mesh = mano(pose, torch.zeros(1, 10))
        vertices = mesh.vertices - mesh.joints.mean(1, keepdim=True)
        vertices = vertices + torch.tensor([shift, 0, 0.6])
        camera = torch.tensor([[[420.0, 0, 128], [0, 420, 128], [0, 0, 1]]])
        skin = torch.tensor([0.85, 0.62, 0.5]).expand_as(vertices)
        rgb, alpha = render(vertices, mano.faces, camera, (256, 256), skin)
        ground = torch.linspace(0.5, 0.8, 256)[None, None, :, None]
        picture = (rgb + (1 - alpha[:, None]) * ground)[0].permute(1, 2, 0).clamp(0, 1)
        return np.ascontiguousarray((picture * 255).byte().numpy())

    return paint


@pytest.fixture(scope="session")
def as_jpeg():
    def encode(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()

    return encode
