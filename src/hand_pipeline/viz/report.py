"""One self-contained HTML page of a run: numbers, pictures, what they mean, and the settings."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd

from hand_pipeline.config import Config
from hand_pipeline.viz.page import Picture, data_uri, plain_table, render_page


class Metric(NamedTuple):
    """How a number of the results table is shown and explained."""

    label: str
    unit: str
    lower_is_better: bool
    meaning: str


METRICS: dict[str, Metric] = {
    "pa_mpjpe_mm": Metric(
        "PA-MPJPE", "mm", True,
        "Mean distance of the 21 joints after the prediction has been moved, turned and scaled onto"
        " the truth (Procrustes): the error of the hand's pose and shape alone.",
    ),
    "pa_mpvpe_mm": Metric(
        "PA-MPVPE", "mm", True, "The same for the 778 vertices of the mesh, aligned on their own."
    ),
    "rr_mpjpe_mm": Metric(
        "RR-MPJPE", "mm", True,
        "Mean distance of the joints with both wrists moved to one place: orientation and size"
        " count too.",
    ),
    "rr_mpvpe_mm": Metric("RR-MPVPE", "mm", True, "The same for the vertices."),
    "st_mpjpe_mm": Metric(
        "ST-MPJPE", "mm", True,
        "Joints after scale and translation only (HO-3D's measure): one bone sets the size, the"
        " wrist the place.",
    ),
    "mpjpe_mm": Metric(
        "MPJPE", "mm", True,
        "Mean distance of the joints in camera space with no alignment; mostly error in depth.",
    ),
    "mpvpe_mm": Metric("MPVPE", "mm", True, "The same for the vertices."),
    "auc_pa_joints": Metric(
        "AUC joints", "", False,
        "Area under the curve of the share of aligned joints within 0 to 50 mm; 1 is perfect.",
    ),
    "auc_pa_vertices": Metric("AUC vertices", "", False, "The same for aligned vertices."),
    "auc_joints": Metric("AUC joints, raw", "", False, "The same for joints with no alignment."),
    "auc_vertices": Metric("AUC vertices, raw", "", False, "The same for unaligned vertices."),
    "f5": Metric(
        "F@5", "", False,
        "Aligned meshes: harmonic mean of the shares of vertices that have a counterpart within"
        " 5 mm, from prediction to truth and back.",
    ),
    "f15": Metric("F@15", "", False, "The same within 15 mm."),
    "f5_raw": Metric("F@5, raw", "", False, "F@5 with no alignment."),
    "f15_raw": Metric("F@15, raw", "", False, "F@15 with no alignment."),
    "error_mean_px": Metric(
        "2D error, mean", "px", True,
        "Distance of the projected joints from the detected ones in a 224 px crop, mean over the"
        " joints of a hand, then over hands.",
    ),
    "error_median_px": Metric("2D error, median", "px", True, "The same for the middle hand."),
    "joints_near": Metric(
        "joints within 10 px", "", False, "Share of projected joints that near to the detected one."
    ),
}  # fmt: skip
"""The numbers the report knows, in the order of its columns."""

OPEN_HAND_NOTICE = (
    "These numbers were measured on the open synthetic hand that ships with the project, on"
    " rendered pictures. They compare the rows of this table with each other. They are no"
    " reproduction of any paper's numbers, which need the licensed MANO model and real data sets."
)


class _Cell(NamedTuple):
    text: str
    best: bool
    change: str


def render_report(
    title: str,
    results: pd.DataFrame,
    pictures: Mapping[str, Picture],
    settings: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame] | None = None,
    notes: Sequence[str] = (OPEN_HAND_NOTICE,),
    subtitle: str = "",
    made: datetime | None = None,
) -> str:
    """The page as a string; pictures are inside it, nothing is fetched.

    Args:
        title: of the page.
        results: one row a model (the index names it), metrics as columns (`METRICS`; others are
            left out). The first row is the baseline that the others are compared with.
        pictures: by caption: figures, images, or the bytes of a PNG.
        settings: configuration to print, by name; anything JSON can hold.
        tables: further tables by heading.
        notes: paragraphs above the results; the default says what the numbers are not.
        subtitle: a line under the title, for example commit and environment.
        made: when, for the footer; None prints no date, so that equal runs give equal pages.

    Raises:
        ValueError: the results hold none of the known metrics.
    """
    known = [name for name in METRICS if name in results.columns]
    if not known:
        raise ValueError(
            f"expected at least one of {', '.join(METRICS)} among the results' columns, "
            f"got {', '.join(map(str, results.columns)) or 'none'}"
        )
    shown = {
        str(name): json.dumps(value, indent=2, default=_plain) for name, value in settings.items()
    }
    return render_page(
        "report.html.j2",
        title=title,
        subtitle=subtitle,
        notes=list(notes),
        metrics=[METRICS[name] for name in known],
        rows=_rows(results, known),
        pictures={caption: data_uri(picture) for caption, picture in pictures.items()},
        tables={heading: plain_table(table) for heading, table in (tables or {}).items()},
        settings=shown,
        made=made.strftime("%Y-%m-%d %H:%M") if made else "",
    )


def _plain(value: Any) -> Any:
    """What JSON can hold of a typed configuration, or its text."""
    return value.model_dump(mode="json") if isinstance(value, Config) else str(value)


def _rows(results: pd.DataFrame, known: list[str]) -> dict[str, list[_Cell]]:
    rows: dict[str, list[_Cell]] = {str(name): [] for name in results.index}
    for name in known:
        metric, values = METRICS[name], results[name].astype(float)
        best = values.min() if metric.lower_is_better else values.max()
        baseline = values.iloc[0]
        for i, (row, value) in enumerate(zip(rows, values)):
            digits = 2 if metric.unit else 3
            change = f"{(value / baseline - 1) * 100:+.0f} %" if i and baseline else ""
            is_best = bool(value == best) and len(values) > 1
            text = "not given" if pd.isna(value) else f"{value:.{digits}f}"
            rows[row].append(_Cell(text, is_best, "" if pd.isna(value) else change))
    return rows
