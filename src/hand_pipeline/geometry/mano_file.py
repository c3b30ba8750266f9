"""MANO's arrays on disk: convert the official pickle once, then read a plain npz, checked."""

import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hand_pipeline.files import atomic_write
from hand_pipeline.geometry.joints import MANO_PARENTS


class ManoArrays(NamedTuple):
    """A MANO model under its official names, float32 and int64, metres.

    The last four have no rows where the file lacks them.
    """

    v_template: Float[np.ndarray, "778 3"]
    f: Int[np.ndarray, "1538 3"]
    shapedirs: Float[np.ndarray, "778 3 10"]
    posedirs: Float[np.ndarray, "778 3 135"]
    J_regressor: Float[np.ndarray, "16 778"]
    weights: Float[np.ndarray, "778 16"]
    hands_mean: Float[np.ndarray, " 45"]
    hands_components: Float[np.ndarray, "45 45"]
    hands_coeffs: Float[np.ndarray, "poses 45"]
    nails: Float[np.ndarray, "nails 4 3"]
    flex_axes: Float[np.ndarray, "axes 3"]
    abd_axes: Float[np.ndarray, "axes 3"]

    def side(self) -> str:
        """Which hand: at rest a "right" one's fingers point to -x, a "left" one's to +x."""
        rest = self.J_regressor @ self.v_template
        return "right" if rest[4, 0] < rest[0, 0] else "left"


_SHAPES: dict[str, tuple[int | None, ...]] = {
    "v_template": (778, 3),
    "f": (1538, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "hands_mean": (45,),
    "hands_components": (45, 45),
    "kintree_table": (2, 16),
}
_OPTIONAL: dict[str, tuple[int | None, ...]] = {
    "hands_coeffs": (None, 45),
    "nails": (None, 4, 3),
    "flex_axes": (None, 3),
    "abd_axes": (None, 3),
}
_EXPECTED = (
    "Expected the right or left hand of MANO v1.2: MANO_RIGHT.pkl or MANO_LEFT.pkl, converted with "
    "`python -m hand_pipeline mano convert MANO_RIGHT.pkl`"
)


def load_mano(path: Path) -> ManoArrays:
    """Read and check a converted model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is an unconverted pickle, is damaged, or is another model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no MANO model at {path}. {_EXPECTED}")
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise ValueError(
            f"{path} is a pickle, which can run code when read. Convert it once with "
            f"`python -m hand_pipeline mano convert {path}` and give the .npz that this writes"
        )
    try:
        if not zipfile.is_zipfile(path):  # np.load would take other kinds of files too
            raise zipfile.BadZipFile("it is cut short or was no npz file to begin with")
        with np.load(path, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no readable npz file ({error}). {_EXPECTED}") from error
    return check_mano(content, path)


def convert_mano(source: Path, target: Path | None = None) -> Path:
    """Turn the official pickle into a plain npz file that `load_mano` reads.

    Args:
        source: MANO_RIGHT.pkl or MANO_LEFT.pkl.
        target: file to write; by default data/01_raw/mano/MANO_RIGHT.npz, or MANO_LEFT.npz if
            the model is a left hand.

    Raises:
        FileNotFoundError: there is no such pickle.
        ValueError: the pickle is damaged, is another model, or asks for foreign code.
    """
    if not source.is_file():
        raise FileNotFoundError(
            f"no file {source}. Download mano_v1_2.zip from https://mano.is.tue.mpg.de (a free "
            "licence is needed), unpack it and give models/MANO_RIGHT.pkl"
        )
    from hand_pipeline.geometry.mano_pickle import read_mano_pickle  # and scipy

    arrays = check_mano(read_mano_pickle(source), source)
    if target is None:
        target = Path("data/01_raw/mano") / f"MANO_{arrays.side().upper()}.npz"
    root = np.array(MANO_PARENTS, np.int64) % 2**32  # the root's parent as MANO writes it
    content = {name: value for name, value in arrays._asdict().items() if len(value)}
    content["kintree_table"] = np.stack([root, np.arange(16)])
    content["J"] = arrays.J_regressor @ arrays.v_template
    with atomic_write(target) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **content)
    return target


def check_mano(content: dict[str, Any], path: Path) -> ManoArrays:
    """The arrays of a model file, if they are those of a MANO hand.

    Raises:
        ValueError: says what was expected, what came and what to do.
    """
    checked = {name: _array(content, name, shape, path) for name, shape in _SHAPES.items()}
    for name, shape in _OPTIONAL.items():
        found = name in content
        empty = np.zeros([size or 0 for size in shape], np.float32)
        checked[name] = _array(content, name, shape, path) if found else empty
    parents = checked.pop("kintree_table")[0]
    if tuple(parents[1:].tolist()) != MANO_PARENTS[1:]:
        raise ValueError(
            f"{path}: the joint tree has the parents {parents.tolist()}, expected "
            f"{list(MANO_PARENTS)}. {_EXPECTED}"
        )
    faces = checked["f"]
    if faces.min() < 0 or faces.max() > 777:
        raise ValueError(
            f"{path}: faces use vertices {faces.min()} to {faces.max()}, expected 0 to 777. "
            f"{_EXPECTED}"
        )
    for name in ("weights", "J_regressor"):
        off = np.abs(checked[name].sum(1) - 1).max()
        if off > 1e-3:
            raise ValueError(
                f"{path}: rows of {name!r} must sum to 1, but one is off by {off:.3g}. {_EXPECTED}"
            )
    return ManoArrays(**checked)


def _array(
    content: dict[str, Any], name: str, shape: tuple[int | None, ...], path: Path
) -> np.ndarray:
    """One array in its final type, or an error that says what came instead."""
    if name not in content:
        present = ", ".join(sorted(content)) or "nothing"
        raise ValueError(f"{path} has no array {name!r}; it holds {present}. {_EXPECTED}")
    value = np.asarray(content[name])
    fits = len(value.shape) == len(shape) and all(
        want is None or want == size for want, size in zip(shape, value.shape)
    )
    kinds = "iu" if name in ("f", "kintree_table") else "fiu"
    if not fits or value.dtype.kind not in kinds:
        hint = " (SMPL's body model has 6890 vertices)" if 6890 in value.shape else ""
        wanted = "x".join("any" if want is None else str(want) for want in shape)
        raise ValueError(
            f"{path}: {name!r} is {'x'.join(map(str, value.shape))} of {value.dtype}{hint}, "
            f"expected {wanted} numbers. {_EXPECTED}"
        )
    if not np.isfinite(value).all():
        raise ValueError(f"{path}: {name!r} has values that are not finite. {_EXPECTED}")
    return value.astype(np.int64 if kinds == "iu" else np.float32)
