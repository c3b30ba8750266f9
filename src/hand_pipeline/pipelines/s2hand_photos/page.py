"""The page that shows S2HAND on photos without labels."""

import pandas as pd

from hand_pipeline.viz.run_page import From, RunPage

_READING = (
    "No 3D truth exists for these photos. The 2D error is the distance of the projected joints from"
    " those a detector found, on held-out photos; a detector errs too. Frames of one video may lie"
    " on both sides. Where nobody collected photos, the collect stage has drawn them: hands,"
    " cameras and light are then synthetic."
)


def _camera(samples: pd.DataFrame) -> str:
    guessed = (samples["camera"] == "default").sum()
    return (
        "A photo whose camera is not known has the default one, whose focal length is the photo's"
        " diagonal: its depths and sizes in metres are guesses. Hands with it:"
        f" {guessed} of {len(samples)} held out."
    )


def _by_set(samples: pd.DataFrame) -> pd.DataFrame:
    errors = {"before_px": ("before_px", "mean"), "after_px": ("after_px", "mean")}
    return samples.groupby("set").agg(hands=("id", "size"), **errors).reset_index()


_SAMPLES = "s2hand_photos_samples_table"
PAGE = RunPage(
    title="S2HAND: textured hands of photos without labels",
    results="s2hand_photos_table",
    figures={
        "Photos: the hand over it, from the side, and its texture without light": (
            "s2hand_photos_picture"
        ),
        "Training on photos": "s2hand_photos_curves",
    },
    tables={"Mean 2D error by set, held-out photos": From(_SAMPLES, _by_set)},
    settings=("params:s2hand_photos",),
    notes=(_READING, From(_SAMPLES, _camera)),
)
