import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.data.photos.detector import DetectorConfig, HandDetector, quiet_native_logs
from hand_pipeline.data.photos.files import load_photo

MEDIA = Path(__file__).parents[4] / "shared" / "data" / "demo_media"


@pytest.fixture(scope="module")
def detector(hand_model):
    return HandDetector(DetectorConfig(model_path=hand_model))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("turn", [0, 180])
def test_a_drawn_hand_is_found_and_called_by_its_side(detector, paint_hand, side, turn):
    [hand] = detector(paint_hand(side, turn))
    assert hand.handedness == side
    assert hand.landmarks_2d[12, 1] < hand.landmarks_2d[9, 1] < hand.landmarks_2d[0, 1]


@pytest.mark.slow
def test_the_landmarks_lie_on_the_hand_in_every_pass(hand_model, paint_hand):
    picture = paint_hand("right", 0)
    detector = HandDetector(DetectorConfig(model_path=hand_model))
    first, second, third = (detector._try(picture, number)[0] for number in (1, 2, 3))
    for other in (second, third):
        assert np.abs(first.landmarks_2d - other.landmarks_2d).max() < 12
    assert 20 < first.box[1] < first.box[3] < 240


@pytest.mark.slow
def test_a_small_photo_is_measured_in_its_own_pixels(detector, paint_hand):
    small = np.ascontiguousarray(paint_hand("right", 0)[::3, ::3])
    [hand] = detector(small)
    assert (hand.box >= 0).all()
    assert (hand.box <= 86).all()


@pytest.mark.slow
def test_an_empty_picture_has_no_hand(detector):
    assert detector(np.full((120, 160, 3), 127, dtype=np.uint8)) == []


@pytest.mark.slow
@pytest.mark.skipif(not MEDIA.is_dir(), reason="the demonstration photos are not here")
@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("mps_hand_thumb_up.jpg", ["left"]),  # palm side seen, fingers point right
        ("mps_test_image.jpg", ["right"]),
        ("tfjs_hands.jpg", ["left", "left"]),  # one photo of the back of a hand, pasted twice
    ],
)
def test_hands_in_real_photos_are_found_and_called_by_their_side(detector, name, sides):
    assert [hand.handedness for hand in detector(load_photo(MEDIA / name))] == sides


@pytest.mark.slow
def test_a_detector_prints_nothing(hand_model):
    code = (
        "import numpy as np; from pathlib import Path;"
        "from hand_pipeline.data.photos.detector import *;"
        f"d = HandDetector(DetectorConfig(model_path=Path({str(hand_model)!r})));"
        "d(np.zeros((99, 99, 3), np.uint8))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_native_messages_are_kept_and_shown_only_with_an_error(capfd):
    with quiet_native_logs():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    with suppress(RuntimeError), quiet_native_logs():
        os.write(2, b"the reason")
        raise RuntimeError
    assert capfd.readouterr().err == "the reason"
