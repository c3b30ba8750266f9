"""The `claims` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.claims.nodes import write_claims


def create_pipeline() -> Pipeline:
    """Whatever other pipelines and sweeps have left in, one page and two tables out."""
    return Pipeline(
        [
            Node(
                write_claims,
                ["reporting", "params:claims"],
                ["claims_page", "claims_table", "claims_comparison_table", "claims_metrics"],
                name="write_claims",
            )
        ]
    )
