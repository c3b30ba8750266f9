"""The page of a run: a table of models, figures, further tables, what the metrics mean, settings.

A pipeline declares its page by the names of data sets and parameters, and has it written:
`Node(PAGE.render, PAGE.inputs, "NAME_page", name="write_NAME_page")`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from hand_pipeline.config import Config
from hand_pipeline.viz.page import Cell, Fold, Section, Table, plain_table, render_page


class Metric(NamedTuple):
    """How a metric of the results table is shown and explained."""

    label: str
    unit: str
    lower_is_better: bool
    meaning: str


METRICS: dict[str, Metric] = {
    "pa_mpjpe_mm": Metric(
        "PA-MPJPE", "mm", True,
        "Mean distance of the 21 joints after the prediction has been moved, turned and scaled onto"
        " the truth (Procrustes): only pose and shape count.",
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
    "photos_percent": Metric(
        "photos", "% of the hand", True,
        "On the real photos that are shown: mean distance of the projected joints from those that"
        " the detector saw, in % of the longer side of their box. No truth: mediapipe and lifter"
        " read these very joints.",
    ),
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
"""The metrics a page knows, in the order of its columns."""

OPEN_HAND_NOTICE = (
    "These metrics were measured on the open synthetic hand that ships with the project, on"
    " rendered images. They compare the rows of this table with each other. They do not reproduce"
    " any paper's results, which need the licensed MANO model and real data sets."
)


class From(NamedTuple):
    """A part of the page that is made from a data set.

    Attributes:
        data: name of the data set.
        make: gives the table, or the words, from it.
    """

    data: str
    make: Callable[[Any], Any]


@dataclass(frozen=True)
class RunPage:
    """What a pipeline's page shows.

    Attributes:
        title: of the page.
        results: data set with a row a model (`model` names it) and metrics as columns (`METRICS`;
            others are left out). The first row is the baseline that the others are compared with.
        figures: data sets by caption.
        tables: data sets by heading, or how a table is made from one.
        settings: parameters to print, each under the last part of its name.
        notes: paragraphs above the results, or how one is made from a data set.
    """

    title: str
    results: str
    figures: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str | From] = field(default_factory=dict)
    settings: Sequence[str] = ()
    notes: Sequence[str | From] = (OPEN_HAND_NOTICE,)

    @property
    def inputs(self) -> dict[str, str]:
        """Every data set and parameter the page shows, by itself: the inputs of its node."""
        tables = [each.data if isinstance(each, From) else each for each in self.tables.values()]
        notes = [each.data for each in self.notes if isinstance(each, From)]
        names = [self.results, *tables, *notes, *self.figures.values(), *self.settings]
        return {name: name for name in names}

    def render(self, **values: Any) -> str:
        """The page as a string, from a value for each of `inputs`.

        Raises:
            ValueError: the results hold none of the known metrics.
        """
        results = values[self.results].set_index("model")
        known = [name for name in METRICS if name in results.columns]
        if not known:
            raise ValueError(
                f"expected at least one of {', '.join(METRICS)} among the results' columns, "
                f"got {', '.join(map(str, results.columns)) or 'none'}"
            )

        def made(part: str | From) -> Any:
            return part.make(values[part.data]) if isinstance(part, From) else values[part]

        figures = {caption: values[name] for caption, name in self.figures.items()}
        sections = [
            Section("Results", table=_compared(results, known), note=_COMPARED),
            *([Section("Figures", figures=figures)] if figures else []),
            *(Section(name, table=plain_table(made(part))) for name, part in self.tables.items()),
            Section(
                "What the metrics mean",
                terms={METRICS[name].label: METRICS[name].meaning for name in known},
            ),
        ]
        if self.settings:
            folds = [
                Fold(
                    name.removeprefix("params:").split(".")[-1],
                    json.dumps(values[name], indent=2, default=_plain),
                )
                for name in self.settings
            ]
            sections.append(Section("Settings", folds=folds))
        notes = [note if isinstance(note, str) else str(made(note)) for note in self.notes]
        return render_page(self.title, notes, sections)


_COMPARED = "Shaded: best of the column. Small print: difference to the first row."


def _compared(results: pd.DataFrame, known: list[str]) -> Table:
    """A row a model, a column a metric, each value with its change from the first row."""
    rows = {str(name): [Cell(str(name))] for name in results.index}
    for name in known:
        metric, values = METRICS[name], results[name].astype(float)
        best = values.min() if metric.lower_is_better else values.max()
        baseline = values.iloc[0]
        for i, (row, value) in enumerate(zip(rows.values(), values)):
            if pd.isna(value):
                row.append(Cell("not given"))
                continue
            comparable = i and baseline and not pd.isna(baseline)
            change = f"{(value / baseline - 1) * 100:+.0f} %" if comparable else ""
            is_best = bool(value == best) and len(values) > 1
            text = f"{value:.{2 if metric.unit else 3}f}"
            row.append(Cell(text, change, "best" if is_best else ""))
    return Table([Cell(""), *(_heading(METRICS[name]) for name in known)], list(rows.values()))


def _plain(value: Any) -> Any:
    """What JSON has no form for: Kedro hands typed parameters over as their configs."""
    return value.model_dump(mode="json") if isinstance(value, Config) else str(value)


def _heading(metric: Metric) -> Cell:
    unit = f"{metric.unit}, " if metric.unit else ""
    better = "lower" if metric.lower_is_better else "higher"
    return Cell(metric.label, f"{unit}{better} is better", tip=metric.meaning)
