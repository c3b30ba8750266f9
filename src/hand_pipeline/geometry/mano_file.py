"""MANO's arrays on disk: read and check a converted file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hand_pipeline.geometry.joints import MANO_PARENTS

_Array = np.ndarray


class ManoArrays(NamedTuple):
    """A MANO model under its official names, float32 and int64, metres.

    Optional arrays have no rows where the file lacks them.
    """

    v_template: Float[_Array, "778 3"]
    f: Int[_Array, "1538 3"]
    shapedirs: Float[_Array, "778 3 10"]
    posedirs: Float[_Array, "778 3 135"]
    J_regressor: Float[_Array, "16 778"]
    weights: Float[_Array, "778 16"]
    hands_mean: Float[_Array, " 45"]
    hands_components: Float[_Array, "45 45"]
    hands_coeffs: Float[_Array, "poses 45"]
    nails: Float[_Array, "nails 4 3"]
    flex_axes: Float[_Array, "axes 3"]
    abd_axes: Float[_Array, "axes 3"]

    def side(self) -> str:
        """ "right" or "left": in the rest pose a right hand's fingers point to -x."""
        rest = self.J_regressor @ self.v_template
        return "right" if rest[4, 0] < rest[0, 0] else "left"


_OPTIONAL = {
    "hands_coeffs": (0, 45),
    "nails": (0, 4, 3),
    "flex_axes": (0, 3),
    "abd_axes": (0, 3),
}


def load_mano(path: Path) -> ManoArrays:
    """Read a converted model."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {}
        for name in ManoArrays._fields:
            value = archive[name] if name in archive else np.zeros(_OPTIONAL[name])
            arrays[name] = value.astype(np.int64 if name == "f" else np.float32)
        assert tuple(archive["kintree_table"][0][1:]) == MANO_PARENTS[1:]
    return ManoArrays(**arrays)
