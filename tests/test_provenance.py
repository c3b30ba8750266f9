"""Keys of runs change with everything that decides a result."""

from hand_pipeline.provenance import code_version, run_key


def test_a_run_key_changes_with_every_part() -> None:
    key = run_key(stage="a", cfg={"lr": 1.0}, data="x")
    assert key == run_key(data="x", stage="a", cfg={"lr": 1.0})
    assert len({key, run_key(stage="b", cfg={"lr": 1.0}, data="x"),
                run_key(stage="a", cfg={"lr": 2.0}, data="x"),
                run_key(stage="a", cfg={"lr": 1.0}, data="y")}) == 4  # fmt: skip


def test_the_code_version_is_stable_within_a_process() -> None:
    assert code_version() == code_version()
    assert len(code_version()) == 64
