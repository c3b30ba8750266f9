"""What is drawn is where the labels are."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.fixtures.freihand import write_freihand

from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.data.shards.files import ShardReader, ShardWriter
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.labels import (
    contact_sheet,
    label_sheet,
    labelled_hands,
)
from hand_pipeline.viz.overlay import draw_skeleton

TILE = 64


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="freihand")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, mano: ManoHand) -> HandManifest:
    root = tmp_path_factory.mktemp("hands")
    write_freihand(root, "evaluation", count=2)
    return read_hands("freihand", root, "evaluation", mano)


def test_each_hand_has_its_joints_on_the_left_and_its_mesh_on_the_right(
    manifest: HandManifest, mano: ManoHand
) -> None:
    one, two = labelled_hands(manifest, [1, 0], mano, TILE)
    assert one.caption == "evaluation/00000001 (right)"
    left = np.array(one.image)[:, :TILE].reshape(-1, 3).tolist()
    assert [255, 230, 0] in left  # the box
    right = np.array(one.image)[:, TILE:].astype(int)
    blue = right[..., 2] - right[..., 0] > 60
    assert 0.05 < blue.mean() < 0.5
    assert label_sheet([one, two], columns=1).height > 2 * TILE


def test_a_photo_that_cannot_be_read_is_a_grey_field(
    manifest: HandManifest, mano: ManoHand, tmp_path: Path
) -> None:
    (hand,) = labelled_hands(replace(manifest, root=tmp_path), [0], mano, TILE)
    assert hand.image.getpixel((2 * TILE - 1, TILE - 1)) == (187, 187, 187)


def test_a_mesh_in_pixels_is_dots_where_its_vertices_are(
    manifest: HandManifest, mano: ManoHand
) -> None:
    middle = (manifest.boxes[:, :2] + manifest.boxes[:, 2:]) / 2
    pixels = np.tile(middle[:, None], (1, 778, 1))
    bare = replace(
        manifest, vertices=None, has_mano=np.zeros(2, dtype=bool), flags={"vertices_px": pixels}
    )
    (hand,) = labelled_hands(bare, [0], mano, TILE)
    around = np.array(hand.image)[TILE // 2 - 2 : TILE // 2 + 2, 3 * TILE // 2 - 2 :][:, :4]
    assert (around == [92, 153, 235]).all(axis=2).sum() == 1


def test_joints_that_are_not_labelled_are_not_drawn() -> None:
    joints = np.random.default_rng(0).uniform(5, 55, (21, 2))
    some, none = np.arange(21) < 5, np.zeros(21, dtype=bool)
    pictures = []
    for valid in (None, some, none):
        image = Image.new("RGB", (64, 64))
        draw_skeleton(image, joints, valid)
        pictures.append(np.array(image).any(axis=2).sum())
    everything, thumb, nothing = pictures
    assert nothing == 0 < thumb < everything


def test_no_hand_is_an_error() -> None:
    with pytest.raises(ValueError, match="no hand to draw"):
        label_sheet([])


# ---- collected crops


def reader(folder, sets):
    with ShardWriter(folder) as writer:
        for number, name in enumerate(sets):
            buffer = io.BytesIO()
            Image.new("RGB", (64, 64), (40, 40, 40)).save(buffer, "JPEG")
            points = np.random.default_rng(number).uniform(10, 50, (21, 2)).tolist()
            writer.add(f"{number}", buffer.getvalue(), {"set": name, "landmarks_2d": points})
    return ShardReader(folder)


def test_every_set_has_its_share_and_landmarks_are_drawn(tmp_path, monkeypatch):
    shards = reader(tmp_path, ["large"] * 30 + ["small"] * 3)
    shown = []
    read = shards.read
    monkeypatch.setattr(shards, "read", lambda index: shown.append(index) or read(index))
    sheet = contact_sheet(shards, count=10, columns=5, tile=64)
    assert sum(index >= 30 for index in shown) == 3
    assert len(set(shown)) == 10
    assert sheet.width == 5 * 68 + 4
    colours = np.array(sheet)[4:68, 4:68].reshape(-1, 3)
    assert (np.ptp(colours.astype(int), axis=1) > 60).sum() > 20


def test_the_same_seed_shows_the_same_crops(tmp_path):
    shards = reader(tmp_path, ["a"] * 30)
    one, two, other = (contact_sheet(shards, 6, 3, 32, seed) for seed in (0, 0, 1))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_no_crops_are_an_error_that_says_where_to_look(tmp_path):
    with pytest.raises(ValueError, match="no crop to show; see the collect summary"):
        contact_sheet(reader(tmp_path, []))
