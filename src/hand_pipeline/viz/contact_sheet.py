"""A page of sample crops with their landmarks: one look says whether collecting went well."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.viz.overlay import draw_skeleton

_LABEL = 14  # px below each crop for its set
_GAP = 4


def contact_sheet(
    shards: ShardReader, count: int = 60, columns: int = 10, tile: int = 128, seed: int = 0
) -> Image.Image:
    """Crops drawn at random, as many of each set as possible, with landmarks and set names.

    Args:
        shards: crops of `data.photos.collect`.
        count: crops at most.
        columns: crops a row.
        tile: side of a crop on the sheet, px.
        seed: of the choice.

    Raises:
        ValueError: there are no crops.
    """
    if not len(shards):
        raise ValueError(
            f"{shards.directory} holds no crop to show; see the collect summary for why"
        )
    chosen = _evenly(shards, count, seed)
    rows = -(-len(chosen) // columns)
    step_x, step_y = tile + _GAP, tile + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, index in enumerate(chosen):
        content, meta = shards.read(index)
        left, top = place % columns * step_x + _GAP, place // columns * step_y + _GAP
        with Image.open(io.BytesIO(content)) as crop:
            shown = crop.convert("RGB").resize((tile, tile), Image.Resampling.BILINEAR)
            scale = tile / crop.width
        if "landmarks_2d" in meta:
            draw_skeleton(shown, np.array(meta["landmarks_2d"]) * scale)
        sheet.paste(shown, (left, top))
        mark = " (mirrored)" if meta.get("mirrored") else ""
        draw.text((left, top + tile), f"{meta.get('set', '')}{mark}", "black", font)
    return sheet


def _evenly(shards: ShardReader, count: int, seed: int) -> list[int]:
    """Positions of crops, taken in turns from the sets, sets in the order of their names."""
    by_set: dict[str, list[int]] = {}
    for index in np.random.default_rng(seed).permutation(len(shards)).tolist():
        by_set.setdefault(str(shards.meta(index).get("set", "")), []).append(index)
    longest = max(map(len, by_set.values()))
    names = sorted(by_set)
    turns = [by_set[name][turn] for turn in range(longest) for name in names
             if turn < len(by_set[name])]  # fmt: skip
    return sorted(turns[:count], key=lambda index: str(shards.meta(index).get("set", "")))
