"""The sweep `comparisons`."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.comparisons.nodes import draw_members
from hand_pipeline.sweeps.pipeline import sweep_pipeline
from hand_pipeline.sweeps.project import PROJECT


def create_pipeline() -> Pipeline:
    """Models and baselines on the same held-out hands; some of these as each sees them."""
    draw = Node(
        draw_members,
        [
            PROJECT,
            "params:sweeps.comparisons",
            "comparisons_runs_table",
            "labelled_hands",
            "params:finetune.pymaf",
        ],
        "comparisons_hands_picture",
        name="draw_members",
    )
    return sweep_pipeline("comparisons") + Pipeline([draw])
