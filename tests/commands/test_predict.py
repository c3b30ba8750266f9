import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from click.testing import CliRunner
from PIL import Image
from tests.fixtures.reconstructor import FakeReconstructor

from hand_pipeline.commands.predict import predict
from hand_pipeline.commands.predict_options import SamplingOptions
from hand_pipeline.data.batch import HandHypotheses
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.photos.detector import Detection, DetectorConfig
from hand_pipeline.data.photos.videos import Video, write_video
from hand_pipeline.geometry.camera import project, weak_perspective_to_translation
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.training.checkpoint import pack_method, save_checkpoint

module = sys.modules["hand_pipeline.api.reconstructor"]
MEDIA = Path(__file__).parents[3] / "shared" / "data" / "demo_media"


class FakeDetector:
    """A right hand in the left half of every bright photo, a left one in its right half."""

    def __init__(self, cfg: DetectorConfig) -> None:
        self.cfg = cfg

    def __call__(self, photo):
        if photo.mean() < 100:
            return []
        height, width = photo.shape[:2]
        hands = []
        for side, centre in (("right", width / 4), ("left", 3 * width / 4)):
            flat = np.random.default_rng(0).uniform(-height / 5, height / 5, (21, 2))
            flat += [centre, height / 2]
            box = np.concatenate([flat.min(0), flat.max(0)])
            hands.append(Detection(box, flat, np.zeros((21, 3)), side, 0.9, 1))
        return hands


class MeanHand(FakeReconstructor):
    """The mean hand, filling the crop."""

    def predict(self, batch, generator=None):
        count, intrinsics = len(batch), batch.intrinsics
        pose = self.mano.full_pose(torch.zeros(count, 48), flat_hand_mean=False)
        place = weak_perspective_to_translation(
            torch.tensor([[6.0, 0, 0]]).expand(count, 3), intrinsics, batch.images.shape[-1]
        )
        mesh = self.mano(pose, torch.zeros(count, 10), place)
        return HandHypotheses.single(
            batch.ids, intrinsics, project(mesh.joints, intrinsics), mesh.joints, mesh.vertices,
            pose, torch.zeros(count, 10),
        )  # fmt: skip


class DrawnHands(MeanHand):
    """The mean hand with fingers bent at random, less and less sure; notes how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling = SamplingConfig(iterations=3)
        self.asked = []

    def predict(self, batch, generator=None):
        self.asked.append(self.sampling)
        one, count, several = super().predict(batch), len(batch), self.sampling.hypotheses
        bent = torch.zeros(count, several, 16, 3)
        bent[:, :, 1:, 2] = 0.5 * torch.rand(count, several, 15, generator=generator)
        pose = one.mano_pose @ axis_angle_to_matrix(bent)
        place = one.joints_3d[:, 0, 0] - self.mano.rest_joints(one.betas)[:, 0]
        mesh = self.mano(
            pose.flatten(0, 1), *(v.repeat_interleave(several, 0) for v in (one.betas, place))
        )
        joints, vertices = (v.unflatten(0, pose.shape[:2]) for v in (mesh.joints, mesh.vertices))
        sure = (0.8 / torch.arange(1, several + 1)).expand(count, several)
        return HandHypotheses(
            batch.ids, batch.intrinsics, joints[..., :2], joints, vertices, pose, one.betas, sure,
            sure[..., None].expand(-1, -1, 21),
        )  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.touch()

    def call(source, *options, model=None):
        model = model or MeanHand()
        monkeypatch.setattr(module, "load_model", lambda checkpoint, device, method: model.eval())
        arguments = [str(source), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(predict, [*arguments, *options])

    return call


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(module, "HandDetector", FakeDetector)


def save(path, brightness=200, size=(160, 120)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (brightness,) * 3).save(path)
    return path


def test_a_photo_gives_overlay_json_and_meshes(run, fake, tmp_path):
    result = run(save(tmp_path / "a.jpg"))
    assert result.exit_code == 0, result.output
    assert "2 hands in 1 photos" in result.output
    out = tmp_path / "out"
    meshes = [f"a_hand{n}_{s}.{e}" for n, s in ((0, "right"), (1, "left")) for e in ("glb", "obj")]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["a.overlay.png", "a.json", "summary.json", *meshes]
    )
    with Image.open(out / "a.overlay.png") as picture:
        drawn = np.array(picture)[:, :160].astype(int)
    assert (np.abs(drawn[:, :80] - 200).max(axis=2) > 30).sum() > 300
    assert (np.abs(drawn[:, 80:] - 200).max(axis=2) > 30).sum() > 300
    record = json.loads((out / "a.json").read_text())
    assert record["camera"]["intrinsics"][0][0] == pytest.approx(200)  # the diagonal
    assert [hand["handedness"] for hand in record["hands"]] == ["right", "left"]
    left = np.array(record["hands"][1]["joints_2d_px"])
    assert (left[:, 0] > 80).all()


def test_hands_with_colours_are_drawn_and_written_with_them_and_the_guessed_camera_is_flagged(
    tmp_path, fake
):
    torch.manual_seed(0)
    configs = {
        "cfg": S2HandConfig(hourglass=HourglassConfig(width=8, depth=1, blocks=1)),
        "encoder": EfficientNetConfig(name="mobilenetv2_035", image_size=32),
        "augmentation": HandAugmentationConfig(image_size=32),
    }
    method = S2Hand(**configs)
    with torch.no_grad():
        method.appearance.texture[-1].bias.normal_(0, 0.02)  # a texture, not one colour
    path = tmp_path / "06_models/s2hand_method.safetensors"
    save_checkpoint(path, pack_method("s2hand", method.state_dict(), **configs))
    photo, out = save(tmp_path / "a.jpg"), tmp_path / "out"
    arguments = ["--method", "s2hand", "--data", str(tmp_path), "--out", str(out)]
    result = CliRunner().invoke(predict, [str(photo), *arguments])
    assert result.exit_code == 0, result.output
    assert "camera not known of 1 files" in result.output
    record = json.loads((out / "a.json").read_text())
    assert record["camera"]["source"] == "guess"
    assert record["camera"]["intrinsics"][0][0] == pytest.approx(200)  # the diagonal
    for name in ("a_hand0_right.glb", "a_hand1_left.glb"):
        (mesh,) = trimesh.load_scene(out / name, process=False).geometry.values()
        colours = np.asarray(mesh.visual.vertex_attributes["color"])[:, :3].astype(float)
        assert (colours[:, 0] > colours[:, 2]).all()  # skin, from the start
        assert colours.std(axis=0).max() > 0
    with Image.open(out / "a.overlay.png") as picture:
        drawn = np.array(picture)[:, :160].astype(int)
    hand = np.abs(drawn - 200).max(axis=2) > 20
    assert hand.sum() > 100
    assert (drawn[hand][:, 0] >= drawn[hand][:, 2]).all()  # neither blue nor bones of all colours
    given = CliRunner().invoke(predict, [str(photo), *arguments, "--focal", "400"])
    assert "camera not known" not in given.output
    assert json.loads((out / "a.json").read_text())["camera"]["source"] == "given"


def test_files_of_other_kinds_are_named_and_earlier_results_are_no_photos(run, fake, tmp_path):
    folder = tmp_path / "Fotos für 手"
    save(folder / "my hand.jpg")
    (folder / "notes.txt").write_text("no photo")
    (folder / "README").write_text("nor this")
    (folder / ".hidden").write_text("a system's own")
    for _ in range(2):  # the second run finds the first one's pictures in the folder
        result = run(folder, "--out", str(folder / "out"))
        assert result.exit_code == 0, result.output
        assert "2 hands in 1 photos" in result.output
    named = json.loads((folder / "out/summary.json").read_text())["quarantine"]
    assert {(Path(row["file"]).name, row["reason"]) for row in named} == {
        ("notes.txt", "unknown_kind"), ("README", "unknown_kind"),
    }  # fmt: skip
    assert (folder / "out/my hand.overlay.png").is_file()


def test_cameras_are_given_for_all_by_file_or_by_the_photo(run, fake, tmp_path):
    folder, cameras = tmp_path / "in", tmp_path / "cameras.json"
    save(folder / "a.jpg")
    save(folder / "below/b.jpg")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 43.2666  # mm: the film's diagonal
    Image.new("RGB", (160, 120)).save(folder / "c.jpg", exif=exif)
    cameras.write_text(json.dumps({"below/b.jpg": [300, 310, 70, 50]}))
    result = run(folder, "--no-obj", "--cameras", str(cameras))
    assert result.exit_code == 0, result.output
    found = {
        name: json.loads((tmp_path / f"out/{name}.json").read_text())["camera"]
        for name in ("a", "below/b", "c")
    }
    assert {name: camera["source"] for name, camera in found.items()} == {
        "a": "guess", "below/b": "file", "c": "exif",
    }  # fmt: skip
    assert found["below/b"]["intrinsics"][1] == [0, 310, 50]
    assert found["c"]["intrinsics"][0][0] == pytest.approx(200, abs=0.1)  # the photo's diagonal
    run(folder, "--no-obj", "--intrinsics", "300,310,70,50")
    given = json.loads((tmp_path / "out/c.json").read_text())["camera"]
    assert given == {"intrinsics": [[300, 0, 70], [0, 310, 50], [0, 0, 1]], "source": "given"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--focal", "300", "--intrinsics", "1,1,0,0"], "not both"),
        (["--intrinsics", "300,310"], "--intrinsics: expected fx, fy, cx, cy"),
        (["--intrinsics", "wide"], "--intrinsics: expected four numbers, got wide"),
    ],
)
def test_what_is_no_camera_is_refused(run, fake, tmp_path, options, message):
    result = run(save(tmp_path / "a.jpg"), *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_given_focal_length_is_used_and_moves_the_hand_away(run, fake, tmp_path):
    photo = save(tmp_path / "a.jpg")
    run(photo, "--no-obj")
    near = json.loads((tmp_path / "out" / "a.json").read_text())
    run(photo, "--no-obj", "--focal", "400")
    far = json.loads((tmp_path / "out" / "a.json").read_text())
    assert far["camera"] == {"intrinsics": [[400, 0, 80], [0, 400, 60], [0, 0, 1]],
                             "source": "given"}  # fmt: skip
    depths = [record["hands"][0]["mano"]["translation"][2] for record in (near, far)]
    assert depths[1] == pytest.approx(2 * depths[0], rel=0.01)
    assert not list((tmp_path / "out").glob("*.obj"))


def test_a_folder_with_all_sorts_of_files(run, fake, tmp_path):
    root = tmp_path / "photos"
    for name, brightness in (("a.jpg", 200), ("a.png", 200), ("deep/b.webp", 200), ("dark.jpg", 9)):
        save(root / name, brightness)
    (root / "broken.jpg").write_bytes(b"no picture")
    (root / "broken.mp4").write_bytes(b"no video")
    result = run(root, "--no-obj")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.json")} == {
        "a_jpg.json", "a_png.json", "deep/b.json", "dark.json", "summary.json",
    }  # fmt: skip
    assert f"no hand found in: {root / 'dark.jpg'}" in result.output
    summary = json.loads((out / "summary.json").read_text())
    assert {Path(row["file"]).name: row["hands"] for row in summary["photos"]} == {
        "a.jpg": 2, "a.png": 2, "b.webp": 2, "dark.jpg": 0,
    }  # fmt: skip
    reasons = {Path(row["file"]).name: row["reason"] for row in summary["quarantine"]}
    assert reasons == {"broken.jpg": "not_an_image", "broken.mp4": "unreadable"}


def test_a_video_is_drawn_on_and_described_line_by_line(run, fake, tmp_path):
    with write_video(tmp_path / "v.mp4", Fraction(25)) as video:
        for brightness in (200, 200, 20, 200):
            video.add(np.full((120, 160, 3), brightness, dtype=np.uint8))
    result = run(tmp_path / "v.mp4")
    assert result.exit_code == 0, result.output
    assert "hands in 3 of 4 frames" in result.output
    lines = (tmp_path / "out" / "v.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [len(record["hands"]) for record in records] == [2, 2, 0, 2]
    assert [record["time_s"] for record in records] == [0, 0.04, 0.08, 0.12]
    tracks = [[hand["track"] for hand in record["hands"]] for record in records]
    assert tracks == [[0, 1], [0, 1], [], [0, 1]]  # unseen for a moment: the same hands
    with av.open(str(tmp_path / "out" / "v.overlay.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        drawn = [
            frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)
        ]
    assert len(drawn) == 4
    assert np.ptp(drawn[0]) > 100
    assert np.ptp(drawn[2]) < 30


def test_only_some_frames_of_a_video_at_their_own_times(run, fake, tmp_path):
    with write_video(tmp_path / "v.mp4", Fraction(25)) as video:
        for time in (0.0, 0.1, 0.5, 0.6, 1.0):
            video.add(np.full((120, 160, 3), 200, dtype=np.uint8), time)
    result = run(tmp_path / "v.mp4", "--every", "2", "--no-smooth")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "out/v.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(record["photo"], record["time_s"]) for record in records] == [
        ("0", 0), ("2", pytest.approx(0.5, abs=1e-3)), ("4", pytest.approx(1, abs=1e-3))
    ]  # fmt: skip
    shown = [float(frame.time) for frame in Video(tmp_path / "out/v.overlay.mp4")]
    assert shown == pytest.approx([0, 0.5, 1], abs=1e-3)


def test_nothing_readable_is_an_error(run, fake, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    result = run(tmp_path / "a.jpg")
    assert result.exit_code == 1
    assert "none of the files could be read" in result.output
    assert "empty" in result.output


def test_a_folder_without_photos_is_an_error(run, fake, tmp_path):
    (tmp_path / "void").mkdir()
    result = run(tmp_path / "void")
    assert result.exit_code == 1
    assert "holds no photo" in result.output


def test_ranked_hypotheses_are_drawn_and_recorded(run, fake, tmp_path):
    model = DrawnHands()
    result = run(save(tmp_path / "a.jpg"), "--hypotheses", "3", "--no-obj", model=model)
    assert result.exit_code == 0, result.output
    assert model.asked == [SamplingConfig(iterations=3, temperature=1, hypotheses=3)]
    out = tmp_path / "out"
    names = ["a.hypotheses.png", "a.json", "a.overlay.png", "summary.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    with Image.open(out / "a.hypotheses.png") as picture:
        assert picture.size == (4 * 196 + 4, 2 * (18 + 2 * 192 + 8))
    record = json.loads((out / "a.json").read_text())
    for hand in record["hands"]:
        assert [row["confidence"] for row in hand["hypotheses"]] == [0.8, 0.4, 0.266667]
        poses = [row["mano"]["pose_axis_angle"] for row in hand["hypotheses"]]
        assert hand["mano"]["pose_axis_angle"] == poses[0] != poses[1]
        assert hand["confidence"] == 0.8


def test_meshes_are_those_of_the_surest_hypothesis(run, fake, tmp_path):
    assert run(save(tmp_path / "a.jpg"), model=DrawnHands()).exit_code == 0
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    for number, hand in enumerate(record["hands"]):
        lines = (tmp_path / "out" / f"a_hand{number}_{hand['handedness']}.obj").read_text()
        vertices = [line.split()[1:4] for line in lines.splitlines() if line.startswith("v ")]
        surest = np.array(hand["hypotheses"][0]["joints_3d"])[4]  # a fingertip is a vertex
        distance = np.linalg.norm(np.array(vertices, dtype=float) - surest, axis=1).min()
        assert distance < 1e-5


def test_the_same_seed_gives_the_same_hands_and_another_others(run, fake, tmp_path):
    photo = save(tmp_path / "a.jpg")
    records = []
    for seed in ("5", "5", "6"):
        run(photo, "--no-obj", "--seed", seed, model=DrawnHands())
        records.append((tmp_path / "out" / "a.json").read_text())
    assert records[0] == records[1] != records[2]


def test_one_hypothesis_is_the_likeliest_and_has_no_picture(run, fake, tmp_path):
    model = DrawnHands()
    result = run(save(tmp_path / "a.jpg"), "--hypotheses", "1", "--no-obj", model=model)
    assert result.exit_code == 0, result.output
    assert model.asked == [SamplingConfig(iterations=3)]
    assert not (tmp_path / "out" / "a.hypotheses.png").exists()
    [hand, _] = json.loads((tmp_path / "out" / "a.json").read_text())["hands"]
    assert "hypotheses" not in hand
    assert hand["confidence"] == 0.8


def test_a_photo_without_a_hand_has_no_picture_of_hypotheses(run, fake, tmp_path):
    result = run(save(tmp_path / "dark.jpg", 9), model=DrawnHands())
    assert result.exit_code == 0, result.output
    assert "no hand found in:" in result.output
    assert (tmp_path / "out" / "dark.overlay.png").exists()
    assert not (tmp_path / "out" / "dark.hypotheses.png").exists()


def test_frames_show_the_surest_alone(run, fake, tmp_path):
    with write_video(tmp_path / "v.mp4", Fraction(25)) as video:
        video.add(np.full((120, 160, 3), 200, dtype=np.uint8))
    model = DrawnHands()
    assert run(tmp_path / "v.mp4", "--hypotheses", "2", model=model).exit_code == 0
    assert [asked.hypotheses for asked in model.asked] == [2]
    [line] = (tmp_path / "out" / "v.jsonl").read_text().splitlines()
    hands = json.loads(line)["hands"]
    assert [hand["confidence"] for hand in hands] == [0.8, 0.8]
    assert "hypotheses" not in hands[0]
    assert not list((tmp_path / "out").glob("*.hypotheses.png"))


@pytest.mark.parametrize(
    ("said", "photos", "videos"),
    [
        ({}, (6, 1.0, 3), (1, 0.0, 3)),
        ({"hypotheses": 2, "iterations": 1}, (2, 1.0, 1), (2, 1.0, 1)),
        ({"temperature": 0.5}, (6, 0.5, 3), (1, 0.5, 3)),
        ({"temperature": 0.0}, (1, 0.0, 3), (1, 0.0, 3)),
        ({"top_k": 100}, (6, 1.0, 3), (1, 1.0, 3)),
    ],
)
def test_what_is_not_said_follows_from_what_is(said, photos, videos):
    drawn = SamplingOptions(**said).of(DrawnHands())
    assert [(cfg.hypotheses, cfg.temperature, cfg.iterations) for cfg in drawn] == [photos, videos]
    assert {cfg.top_k for cfg in drawn} == {said.get("top_k")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hypotheses", "4", "--temperature", "0"], "4 hypotheses at temperature 0"),
        (["--temperature", "0", "--top-k", "9"], "--top-k have no effect"),
        (["--top-p", "0"], "'--top-p'"),
        (["--hypotheses", "0"], "'--hypotheses'"),
        (["--temperature", "-1"], "'--temperature'"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, fake, tmp_path, options, message):
    result = run(save(tmp_path / "a.jpg"), *options, model=DrawnHands())
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--seed", "--hypotheses", "--iterations", "--top-k"])
def test_a_model_that_draws_nothing_refuses_options_of_drawing(run, fake, tmp_path, option):
    result = run(save(tmp_path / "a.jpg"), option, "3")
    assert result.exit_code == 2
    assert "MeanHand gives one hand" in result.output
    assert f"{option} need" in " ".join(result.output.split())


def test_help_groups_the_options():
    text = CliRunner().invoke(predict, ["--help"]).output
    headings = ["Model:", "Results:", "Photos and hands:", "Hypotheses (", "Other:"]
    places = [text.index(f"\n{heading}") for heading in headings]
    assert places == sorted(places)
    assert places[0] < text.index("--method") < places[1]
    assert places[3] < text.index("--top-k") < places[4]


@pytest.mark.slow
@pytest.mark.skipif(not MEDIA.is_dir(), reason="the demonstration photos are not here")
def test_every_hand_of_the_demonstration_photos_is_drawn(run, tmp_path):
    expected = {"mps_hand_thumb_up": 1, "mps_test_image": 1, "tfjs_hands": 2}
    for name, hands in expected.items():
        assert run(MEDIA / f"{name}.jpg", "--no-obj").exit_code == 0
        record = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert len(record["hands"]) == hands


@pytest.mark.parametrize("chosen", [["--method", "mediapipe"], []])
def test_mediapipe_needs_no_checkpoint_and_is_the_default(fake, tmp_path, chosen):
    out = tmp_path / "out"
    arguments = [str(save(tmp_path / "a.jpg")), *chosen, "--out", str(out)]
    result = CliRunner().invoke(predict, [*arguments, "--no-obj", "--data", str(tmp_path)])
    assert result.exit_code == 0, result.output
    hands = json.loads((out / "a.json").read_text())["hands"]
    assert [hand["handedness"] for hand in hands] == ["right", "left"]
    assert hands[0]["joint_confidence"] == [0.9] * 21
    size = np.ptp(np.array(hands[0]["landmarks_px"]), axis=0).max()
    for hand in hands:  # the joints seen are noise, so only the place can be right
        seen, found = (np.array(hand[name]) for name in ("landmarks_px", "joints_2d_px"))
        assert np.abs(seen.mean(0) - found.mean(0)).max() < 0.2 * size


def test_refined_hands_move_towards_what_was_seen(run, fake, tmp_path):
    photo = save(tmp_path / "a.jpg")
    off = {}
    for flag in ("--no-refine", "--refine"):
        assert run(photo, flag, "--no-obj").exit_code == 0
        hands = json.loads((tmp_path / "out" / "a.json").read_text())["hands"]
        seen, found = (
            np.array([hand[name] for hand in hands]) for name in ("landmarks_px", "joints_2d_px")
        )
        off[flag] = np.linalg.norm(seen - found, axis=-1).mean()
    assert off["--refine"] < 0.9 * off["--no-refine"]


def test_copies_tell_how_sure_the_detector_is(fake, tmp_path):
    out = tmp_path / "out"
    arguments = [str(save(tmp_path / "a.jpg")), "--method", "mediapipe", "--out", str(out)]
    result = CliRunner().invoke(predict, [*arguments, "--no-obj", "--copies", "3"])
    assert result.exit_code == 0, result.output
    for hand in json.loads((out / "a.json").read_text())["hands"]:
        # this detector finds its hands elsewhere in every copy, so it is not sure any more
        assert max(hand["joint_confidence"]) < 0.5
