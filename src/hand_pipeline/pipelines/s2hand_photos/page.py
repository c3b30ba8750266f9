"""The page that shows S2HAND on photos without labels."""

from typing import Any

import pandas as pd
from PIL import Image

from hand_pipeline.viz.report import render_report

_READING = (
    "No 3D truth exists for these photos. The 2D error is the distance of the projected joints from"
    " those a detector found, on photos that were not learnt from; a detector errs too. Frames of"
    " one video may lie on both sides. Where nobody collected photos, the collect stage has drawn"
    " them, and hands, cameras and light are synthetic."
)
_CAMERA = (
    "A photo whose camera is not known has the default one, whose focal length is the photo's"
    " diagonal: its depths and sizes in metres are guesses. Hands with it: {}."
)


def write_page(
    table: pd.DataFrame,
    samples: pd.DataFrame,
    picture: Image.Image,
    curves: Image.Image,
    training: dict[str, Any],
) -> str:
    """One page with everything that a run of `s2hand_photos` has to show."""
    guessed = (samples["camera"] == "default").sum()
    pictures = {
        "Photos: the hand over it, from the side, and its texture without light": picture,
        "Training on photos": curves,
    }
    by_set = samples.groupby("set").agg(
        hands=("id", "size"), before_px=("before_px", "mean"), after_px=("after_px", "mean")
    )
    readable = by_set.reset_index().rename(columns=lambda name: str(name).replace("_", " "))
    return render_report(
        "S2HAND: textured hands of photos without labels",
        table.set_index("model"),
        pictures,
        {"s2hand_photos": training},
        {"Mean 2D error by set, held-out photos": readable},
        notes=(_READING, _CAMERA.format(f"{guessed} of {len(samples)} held out")),
    )
