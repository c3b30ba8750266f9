"""Put a trained model into the package: half floats, and a model card beside them.

    kedro run --env open --pipelines lifter
    kedro run --env open --pipelines photo_scores --params photo_scores.folder=DIR
    python -m scripts.ship_model lifter --env open

The card is written from what the runs recorded in MLflow and from their metrics; what only a person
can say (limits, licences) stands in `CARDS`. Refused: a model whose weights half floats change by
more than a thousandth of the largest, a file above 25 MB, models above 60 MB together.
"""

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Run
from torch import Tensor

from hand_pipeline.files import atomic_write_text
from hand_pipeline.methods import restore_method
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

MODELS = Path("src/hand_pipeline/assets/models")
LARGEST, TOGETHER = 25e6, 60e6  # bytes
DATA = """\
Hands drawn by this package (its open hand from CC0 data, CC0 environment maps, poses of
`assets/real_poses`), and hands fitted to MediaPipe's landmarks in the photos of Thumb Index 1000
(Alam and Rahman, MIT), Sign Language Digits (Ankara Ayranci Anadolu High School, Apache-2.0) and
HandsDataset (SubhiH, Apache-2.0). No licensed hand model, no data of a non-commercial kind."""
CARDS = {
    "lifter": (
        "MediaPipe's 21 landmarks to a MANO hand, by a small transformer that sees no image.",
        "It knows only what the detector saw: where a landmark is wrong, so is the hand. Size and "
        "distance are guesses of a single view. Nothing tells the skin's colour or the sleeve. "
        "People of few countries are in the photos it learnt from, and no child's hand is known "
        "to be.",
    ),
}  # fmt: skip
"""What each model is, and its limits."""


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floats as half floats; the rest as it is."""
    return {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}


def largest_change(given: Checkpoint, shipped: Checkpoint) -> float:
    """By how much the parameters of the restored model differ, relative to their largest."""
    one, other = (restore_method(checkpoint).state_dict() for checkpoint in (given, shipped))
    floats = [name for name, value in one.items() if value.is_floating_point()]
    return max(
        float((one[n] - other[n]).abs().max() / one[n].abs().max().clamp(min=1e-12)) for n in floats
    )


def run_of(pipeline: str, env: str) -> Run:
    """The latest finished MLflow run of a pipeline in a profile."""
    found = mlflow.MlflowClient().search_runs(
        [e.experiment_id for e in mlflow.search_experiments()],
        f"tags.`kedro.env` = '{env}' and tags.`kedro.pipeline` LIKE '%{pipeline}%' "
        "and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"], max_results=1,
    )  # fmt: skip
    if not found:
        raise SystemExit(f"MLflow knows no finished run of {pipeline} in profile {env}")
    return found[0]


def hours_of(history: pd.DataFrame, batch_size: int) -> float:
    """Time in the steps alone, over all sessions in which the training was resumed."""
    steps = history["step"].diff().fillna(history["step"])
    return float((steps * batch_size / history["images_per_second"]).sum() / 3600)


def scores_table(metrics: Mapping[str, Any], name: str) -> str:
    """Rows of `photo_scores` that a reader wants beside the model's own."""
    sets = ("ti1k tip_percent", "ti1k tip_median_percent", "finger_count right",
            "sign_digits right", "ti1k detector_percent")  # fmt: skip
    lines = ["| | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for row in ("mean_hand", "mediapipe", name, f"{name} refined"):
        if row in metrics:
            values = [metrics[row][s.split()[0]][s.split()[1]] for s in sets]
            lines.append(f"| {row} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    return "\n".join(lines)


def card(name: str, env: str, checkpoint: Checkpoint, reports: Path) -> str:
    """The model card, Markdown."""
    what, limits = CARDS[name]
    run, training = run_of(name, env), checkpoint.metadata["training"]
    history = pd.read_csv(reports / f"{name}_history.csv")
    photo = json.loads((reports / "photo_scores_metrics.json").read_text())
    scores = json.loads((reports / f"{name}_scores_metrics.json").read_text())
    renders = {k: scores[name][k] for k in ("pa_mpjpe_mm", "pa_mpvpe_mm", "rr_mpjpe_mm")}
    weights = sum(value.numel() for value in checkpoint.tensors.values())
    tags, hours = run.data.tags, hours_of(history, training["batch_size"])
    return f"""# {name}

{what}

| | |
|---|---|
| weights | {weights:,}, half floats; code and weights Apache-2.0 |
| made by | `kedro run --env {env} --pipelines {name}` |
| commit | {tags.get("git.commit", "unknown")} |
| data | fingerprint `{checkpoint.metadata["data"]}` |
| samples | {training["steps"] * training["batch_size"]:,} in {training["steps"]:,} steps |
| hours of steps | {hours:.2f} |
| written | {datetime.now(UTC):%Y-%m-%d} by `python -m scripts.ship_model {name} --env {env}` |

## Learnt from

{DATA}

## Scores

Held-out renders of the same generator: {", ".join(f"{k} {v:.2f}" for k, v in renders.items())}.

Real photos with labels by people (`photo_scores`; their landmarks, never these labels, were learnt
from):

{scores_table(photo, name)}

## Limits

{limits}
"""


def main() -> None:
    """Convert, check and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(CARDS))
    parser.add_argument("--env", default="open", help="profile that trained it")
    chosen = parser.parse_args()
    mlflow.set_tracking_uri("sqlite:///mlflow/mlflow.db")
    data = Path("data") / chosen.env
    given = load_checkpoint(data / "06_models" / f"{chosen.name}_method.safetensors")
    shipped = Checkpoint(halved(given.tensors), given.metadata)
    change = largest_change(given, shipped)
    if change > 1e-3:
        raise SystemExit(f"half floats change a weight by {change:.1e} of the largest")
    path = MODELS / f"{chosen.name}.safetensors"
    size = sum(value.nbytes for value in shipped.tensors.values())
    others = sum(f.stat().st_size for f in MODELS.glob("*.safetensors") if f != path)
    if size > LARGEST or size + others > TOGETHER:
        raise SystemExit(f"{path} would have {size / 1e6:.1f} MB beside {others / 1e6:.1f} MB")
    text = card(chosen.name, chosen.env, given, data / "08_reporting")
    MODELS.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, shipped)
    atomic_write_text(path.with_suffix(".md"), text)
    print(text)
    print(f"{path}: {size / 1e6:.1f} MB, weights changed by at most {change:.1e}")


if __name__ == "__main__":
    main()
