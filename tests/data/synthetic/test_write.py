import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.readers.freihand import read_labels
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.data.synthetic import photos, shade, things, write
from hand_pipeline.data.synthetic.camera import Placement
from hand_pipeline.data.synthetic.config import PhotosConfig, SyntheticConfig
from hand_pipeline.data.synthetic.hands import draw_hand, generate, pose_block
from hand_pipeline.data.synthetic.light import random_light
from hand_pipeline.data.synthetic.photos import _draw, _hands, _label, generate_photos
from hand_pipeline.data.synthetic.scene import Extras, _occluder, painter
from hand_pipeline.data.synthetic.surface import ROUNDNESS, normals_of, tessellate
from hand_pipeline.data.synthetic.surroundings import Surroundings
from hand_pipeline.data.synthetic.things import Thing
from hand_pipeline.data.synthetic.write import Block, encode_jpeg
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rasterizer import rasterize
from hand_pipeline.geometry.topology import boundary_loop

SMALL = {"image_size": 64, "supersampling": 1, "jpeg_quality": 95}


def config(**changes: object) -> SyntheticConfig:
    return SyntheticConfig(**({"num_training": 5, "num_evaluation": 2} | SMALL | changes))


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.jp*g"))}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    summary = generate(config(), folder, workers=1)
    assert (summary["drawn"], summary["kept"]) == (7, 0)
    return folder


def test_the_reader_takes_what_was_written(drawn: Path) -> None:
    for split, count in (("training", 5), ("evaluation", 2)):
        mano = ManoHand(tips="freihand")
        dataset = HandImages(read_hands("freihand", drawn, split, mano), mano)
        batch = dataset.collate([dataset[i] for i in range(len(dataset))])
        assert len(batch) == count
        assert batch.images.shape == (count, 3, 64, 64)
        assert (batch.joints_2d >= 0).all()
        assert (batch.joints_2d <= 64).all()
    assert len(list((drawn / "training/mask").iterdir())) == 5
    assert not (drawn / "evaluation/mask").exists()


def test_mano_numbers_give_the_vertices(drawn: Path) -> None:
    labels = read_labels(drawn, "training")
    mano = ManoHand(tips="freihand")
    numbers = torch.from_numpy(labels.mano)
    mesh = mano(mano.full_pose(numbers[:, :48], flat_hand_mean=False), numbers[:, 48:58])
    focal = (labels.K[:, 0, 0] + labels.K[:, 1, 1]) / 2
    root = np.column_stack([labels.mano[:, 58:60] - labels.K[:, :2, 2], focal])
    root = torch.from_numpy(root / labels.mano[:, 60:]).float()
    shift = (root - mesh.joints[:, 9])[:, None]
    vertices, joints = torch.from_numpy(labels.verts), torch.from_numpy(labels.xyz)
    torch.testing.assert_close(mesh.vertices + shift, vertices, atol=1e-4, rtol=0)
    torch.testing.assert_close(mesh.joints + shift, joints, atol=1e-4, rtol=0)
    bone = np.linalg.norm(labels.xyz[:, 9] - labels.xyz[:, 10], axis=1)
    np.testing.assert_allclose(labels.scale, bone, atol=1e-6)


def test_the_mask_is_where_the_labelled_mesh_is(tmp_path: Path) -> None:
    generate(config(num_evaluation=0, num_training=8, occluder_probability=0.0), tmp_path, 1)
    labels = read_labels(tmp_path, "training")
    mano = ManoHand()
    covered = rasterize(
        torch.from_numpy(labels.verts), mano.faces.long(), torch.from_numpy(labels.K), (64, 64)
    )
    overlaps = []
    for index, face in enumerate(covered):
        with Image.open(tmp_path / f"training/mask/{index:08d}.jpg") as file:
            mask = np.array(file) > 127
        expected = (face >= 0).numpy()
        overlaps.append((mask & expected).sum() / (mask | expected).sum())
    # a sleeve or the own forearm may hide a little of the hand
    assert np.median(overlaps) > 0.93


@pytest.mark.slow
def joints_inside(config_: SyntheticConfig) -> tuple[np.ndarray, list[Placement]]:
    """Which joints of 48 hands lie in the image, and where the hands stand."""
    placements, labels = pose_block(config_, "training", Block(0, 32))
    more, _ = pose_block(config_, "training", Block(32, 48))
    pixels = np.stack([p.joints @ p.intrinsics.T for p in placements + more])
    pixels = pixels[..., :2] / pixels[..., 2:]
    np.testing.assert_allclose(labels.xyz, [p.joints for p in placements], rtol=1e-6)
    return ((pixels >= 0) & (pixels < config_.image_size)).all(2), placements + more


def test_cut_off_hands_reach_beyond_one_side_and_all_others_lie_inside(tmp_path: Path) -> None:
    whole, placed = joints_inside(config())
    assert whole.all()
    inside, moved = joints_inside(config(cut_off=1.0))
    assert not inside.all(1).any()  # every hand leaves the image,
    assert inside.mean(1).min() > 0.2  # none as a whole:
    assert 0.6 < inside.mean() < 0.95  # a tenth to two fifths of the joints' box
    for one, other in zip(placed, moved):  # it is the same hand, moved sideways
        np.testing.assert_allclose(np.ptp(other.joints - one.joints, axis=0), 0, atol=1e-9)
        assert other.joints[0, 2] == pytest.approx(one.joints[0, 2])
    share = 1 - joints_inside(config(cut_off=0.5))[0].all(1).mean()
    assert 0.25 < share < 0.75

    generate(config(cut_off=1.0), tmp_path, workers=1)
    mano = ManoHand(tips="freihand")
    dataset = HandImages(read_hands("freihand", tmp_path, "training", mano), mano)
    batch = dataset.collate([dataset[i] for i in range(len(dataset))])
    outside = ((batch.joints_2d < 0) | (batch.joints_2d > 64)).any(2)
    assert outside.any(1).all()  # labels go on beyond the border; nothing is clipped


def test_pictures_do_not_depend_on_how_many_are_asked_for_or_who_draws(
    drawn: Path, tmp_path: Path
) -> None:
    generate(config(num_training=3, num_evaluation=2), tmp_path, workers=2)
    few, many = pictures(tmp_path), pictures(drawn)
    assert few.items() <= many.items()
    assert len(few) == 8
    first = read_labels(tmp_path, "training")
    np.testing.assert_array_equal(first.verts, read_labels(drawn, "training").verts[:3])


def test_other_seeds_and_splits_give_other_pictures(drawn: Path) -> None:
    ours = pictures(drawn)
    assert ours["training/rgb/00000000.jpg"] != ours["evaluation/rgb/00000000.jpg"]
    placements, _ = pose_block(config(seed=1), "training", Block(0, 1))
    other, _ = draw_hand(config(seed=1), None, "training", 0, placements[0])
    assert encode_jpeg(other, 95) != ours["training/rgb/00000000.jpg"]


def test_an_interrupted_run_goes_on_without_drawing_again(drawn: Path, tmp_path: Path) -> None:
    generate(config(), tmp_path, workers=1)
    before = {p: os.stat(p).st_mtime_ns for p in tmp_path.rglob("*.jpg")}
    (tmp_path / "training/rgb/00000002.jpg").unlink()
    (tmp_path / "training_verts.json").unlink()
    summary = generate(config(), tmp_path, workers=1)
    assert (summary["drawn"], summary["kept"]) == (1, 6)
    assert pictures(tmp_path) == pictures(drawn)
    redrawn = {p.name for p, time in before.items() if os.stat(p).st_mtime_ns != time}
    assert redrawn == {"00000002.jpg"}
    assert len(read_labels(tmp_path, "training")) == 5


def test_a_set_grows_when_more_are_asked_for(drawn: Path, tmp_path: Path) -> None:
    generate(config(num_training=2), tmp_path, workers=1)
    summary = generate(config(num_training=5), tmp_path, workers=1)
    assert (summary["drawn"], summary["kept"]) == (3, 4)
    assert pictures(tmp_path) == pictures(drawn)


def test_a_folder_of_other_pictures_is_refused(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=r"other settings \(seed 0, now 7\)"):
        generate(config(seed=7), drawn, workers=1)
    with pytest.raises(FileExistsError, match="more than the 3 images asked for in training"):
        generate(config(num_training=3), drawn, workers=1)
    (tmp_path / "training").mkdir()
    with pytest.raises(FileExistsError, match="not made here"):
        generate(config(), tmp_path, workers=1)


def test_missing_backgrounds_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a folder"):
        generate(config(background_photos=tmp_path / "none"), tmp_path / "out", workers=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \.avif"):
        generate(config(background_photos=tmp_path / "empty"), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_the_users_photos_stand_behind_the_hands(tmp_path: Path) -> None:
    backgrounds = tmp_path / "photos"
    (backgrounds / "sub").mkdir(parents=True)
    Image.new("RGB", (300, 200), (0, 0, 255)).save(backgrounds / "sub/blue.png")
    (backgrounds / "broken.jpg").write_bytes(b"no picture")
    cfg = config(background_photos=backgrounds, num_training=3, num_evaluation=0,
                 occluder_probability=0.0)  # fmt: skip
    generate(cfg, tmp_path / "set", workers=1)
    for path in sorted((tmp_path / "set/training/rgb").iterdir()):
        with Image.open(path) as file:
            red, _, blue = np.array(file).reshape(-1, 3).mean(0)
        assert blue > red
        with Image.open(path) as file:
            assert (np.array(file)[..., 2] > np.array(file)[..., 0] + 60).mean() > 0.15


def test_only_broken_backgrounds_end_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="ten photos in a row cannot be read"):
        generate(config(background_photos=tmp_path), tmp_path / "set", workers=1)


@pytest.mark.parametrize(
    "wrong",
    [{"num_training": -1}, {"image_size": 8}, {"fill_min": 0.9, "fill_max": 0.5}, {"siez": 3}],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SyntheticConfig(**wrong)


def test_occluders_hide_parts_of_hands() -> None:
    shares = []
    for probability in (0.0, 1.0):
        cfg = config(occluder_probability=probability)
        placements, _ = pose_block(cfg, "training", Block(0, 16))
        shares.append(
            [draw_hand(cfg, None, "training", i, p)[1].sum() for i, p in enumerate(placements)]
        )
    bare, hidden = map(np.array, shares)
    assert np.mean(hidden < 0.98 * bare) > 0.4
    assert np.median(hidden / bare) > 0.5


def test_photos_say_where_their_hands_are(tmp_path: Path) -> None:
    cfg = PhotosConfig(count=6, width=160, height=120, two_hands_probability=0.5, supersampling=1)
    folder = generate_photos(cfg, tmp_path, workers=1)
    entries = json.loads((tmp_path / "labels.json").read_text())
    assert [e["file"] for e in entries] == [p.name for p in sorted(folder.iterdir())]
    hands = [hand for entry in entries for hand in entry["hands"]]
    assert {hand["side"] for hand in hands} == {"left", "right"}
    assert {len(entry["hands"]) for entry in entries} == {1, 2}
    for hand in hands:
        x0, y0, x1, y1 = hand["box"]
        assert -5 < x0 < x1 < 165
        assert -5 < y0 < y1 < 125
    before = pictures(folder)
    (folder / "000003.jpg").unlink()
    generate_photos(cfg, tmp_path, workers=1)
    assert pictures(folder) == before
    with pytest.raises(FileExistsError, match="other settings"):
        generate_photos(cfg.model_copy(update={"seed": 1}), tmp_path, workers=1)
    with pytest.raises(FileExistsError, match="more than the 5 images asked for in photos"):
        generate_photos(cfg.model_copy(update={"count": 5}), tmp_path, workers=1)


def test_photos_of_another_look_are_not_mixed_with_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = PhotosConfig(count=1, width=160, height=120, supersampling=1)
    generate_photos(cfg, tmp_path, workers=1)
    note = tmp_path / "synthetic.json"
    settings = json.loads(note.read_text())
    assert settings.pop("look") == write.LOOK
    monkeypatch.setattr(write, "LOOK", write.LOOK + 1)
    with pytest.raises(FileExistsError, match=rf"look {write.LOOK - 1}, now {write.LOOK}"):
        generate_photos(cfg, tmp_path, workers=1)
    note.write_text(json.dumps(settings))  # as notes of photos were once: the first look
    with pytest.raises(FileExistsError, match=rf"look 1, now {write.LOOK}"):
        generate_photos(cfg, tmp_path, workers=1)


def test_a_left_hand_is_drawn_where_its_label_says() -> None:
    cfg = PhotosConfig(count=4, width=160, height=120, left_probability=1.0, supersampling=1,
                       two_hands_probability=0.0, occluder_probability=0.0)  # fmt: skip
    for index in range(4):
        [(side, placement)] = _hands(cfg, index)
        light = random_light(np.random.default_rng(0))
        _, mask = painter(None).draw(
            placement, np.random.default_rng(0), (120, 160), 1, Extras(False, False), light
        )
        rows, columns = np.nonzero(mask[:, ::-1] > 0.5)
        x0, y0, x1, y1 = _label(cfg, side, placement)["box"]
        assert side == "left"
        assert x0 - 8 < np.median(columns) < x1 + 8
        assert y0 - 8 < np.median(rows) < y1 + 8
        assert abs(columns.min() - x0) < 16
        assert abs(columns.max() - x1) < 16


def test_a_left_hand_is_lit_from_the_lamps_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a lamp at the right, every hand is brighter at its right side, left hands too."""
    light = random_light(np.random.default_rng(0))._replace(
        key=np.array([0.9, 0.0, -0.436]), key_color=np.full(3, 2.0), fill_color=np.zeros(3),
        ambient=np.zeros((3, 4, 4)),
    )  # fmt: skip
    around = Surroundings(light, None, np.eye(3))
    monkeypatch.setattr(photos, "random_surroundings", lambda rng, share: around)
    kept: list[np.ndarray] = []

    def keep(background: np.ndarray, layers: list[np.ndarray], *rest: object) -> np.ndarray:
        kept.extend(layers)
        return np.zeros((120, 160, 3), np.uint8)

    monkeypatch.setattr(photos, "photograph", keep)
    cfg = PhotosConfig(count=6, width=160, height=120, left_probability=1.0, supersampling=1,
                       two_hands_probability=0.0, occluder_probability=0.0)  # fmt: skip
    brighter = []
    for index in range(6):
        _draw(cfg, None, index, _hands(cfg, index))
        layer = kept.pop()
        light_of, alpha = layer[..., :3].sum(2), layer[..., 3]
        columns = np.indices(alpha.shape)[1]
        middle = (columns * alpha).sum() / alpha.sum()
        brighter.append((columns * light_of).sum() / light_of.sum() > middle)
    assert sum(brighter) >= 5


def test_nearer_hands_are_drawn_over_farther_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = PhotosConfig(count=4, width=160, height=120, two_hands_probability=1.0, supersampling=1,
                       occluder_probability=0.0)  # fmt: skip
    order: list[float] = []

    class Recorder:
        def draw(self, placement: Placement, *rest: object) -> tuple[np.ndarray, np.ndarray]:
            depth = float(placement.joints[:, 2].mean())
            return np.full((120, 160, 4), depth, np.float32), np.zeros((120, 160), np.float32)

    placed = [_hands(cfg, index) for index in range(4)]
    monkeypatch.setattr(photos, "painter", lambda model: Recorder())

    def keep(background: np.ndarray, layers: list[np.ndarray], *rest: object) -> np.ndarray:
        order.extend(float(layer[0, 0, 0]) for layer in layers)
        return np.zeros((120, 160, 3), np.uint8)

    monkeypatch.setattr(photos, "photograph", keep)
    for index, hands in enumerate(placed):
        order.clear()
        _draw(cfg, None, index, hands)
        assert len(order) == 2
        assert order[0] >= order[1]  # the first is farther


def depth_inside(thing: Thing, points: np.ndarray) -> float:
    """How deep points lie in a convex thing, metres: the least distance to its faces' planes."""
    corners = thing.vertices[thing.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    normal, on = normal[length > 1e-12] / length[length > 1e-12, None], corners[length > 1e-12, 0]
    normal *= np.sign(((on - thing.vertices.mean(0)) * normal).sum(1))[:, None]
    return float(((on[None] - points[:, None]) * normal[None]).sum(2).min(1).max())


def test_fingers_close_on_held_things_not_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Thing | None] = []
    original = things.held_thing

    def record(*arguments: object) -> Thing | None:
        held.append(original(*arguments))
        return held[-1]

    monkeypatch.setattr(things, "held_thing", record)
    faces = painter(None).surface.faces[:1538]
    placements, _ = pose_block(config(), "training", Block(0, 32))
    depths = []
    for index, placement in enumerate(placements):
        skin = np.concatenate([placement.vertices, placement.vertices[faces].mean(1)])
        held.clear()
        _occluder(np.random.default_rng([0, index]), placement, skin)
        if held and held[0] is not None:
            depths.append(depth_inside(held[0], skin))
    assert len(depths) > 8
    assert max(depths) < 0.001
    assert min(depths) > -0.004  # and they touch it


def test_kernels_know_how_faces_are_split() -> None:
    surface = painter(None).surface
    assert len(surface.split_faces) == shade._SPLITS_SQUARED * len(surface.faces)
    assert len(surface.corners) == shade._CORNERS


def test_the_drawn_surface_goes_through_manos_vertices() -> None:
    surface = painter(None).surface
    normals = normals_of(surface.rest, surface.faces)
    smooth = tessellate(surface.rest, normals, surface.faces, surface.corners, ROUNDNESS)
    smooth = smooth.reshape(len(surface.faces), -1, 3)
    corner = surface.corners.argmax(0)
    np.testing.assert_allclose(smooth[:, corner], surface.rest[surface.faces], atol=1e-12)
    flat = surface.corners @ surface.rest[surface.faces]
    assert 0.0002 < np.linalg.norm(smooth - flat, axis=-1).max() < 0.01


def closed(faces: np.ndarray) -> np.ndarray:
    """The faces, and a fan over their one hole."""
    loop = boundary_loop(torch.from_numpy(faces)).numpy()
    fan = np.stack([np.full(len(loop) - 2, loop[0]), loop[2:], loop[1:-1]], axis=1)
    return np.concatenate([faces, fan])


def test_forearm_faces_look_outwards() -> None:
    """A closed mesh's volume is positive if its faces do; the arm's open end is capped here."""
    surface = painter(None).surface
    faces = closed(surface.faces)
    corners = surface.rest[faces]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    hand = ManoHand().template.double().numpy()[closed(ManoHand().faces.long().numpy())]
    alone = np.einsum("fi,fi->f", hand[:, 0], np.cross(hand[:, 1], hand[:, 2])).sum() / 6
    assert volume > 2 * alone > 0
