import io

import numpy as np
import pytest
from PIL import Image

from hand_pipeline.data.shards.files import ShardReader, ShardWriter
from hand_pipeline.viz.contact_sheet import contact_sheet


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
