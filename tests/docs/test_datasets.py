"""docs/datasets.md has every set that can be read, with the registry's own facts."""

import re
from pathlib import Path

import pytest
import yaml

from hand_pipeline.data.hand_mix import MixConfig
from hand_pipeline.data.readers.hand_sets import HAND_SETS

TEXT = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
ROWS = {name: line for line in TEXT.splitlines() if line.startswith("| [")
        for name in re.findall(r"`(\w+)`", line)}  # fmt: skip


def sections() -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^## (.*)$", TEXT, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", HAND_SETS)
def test_each_set_has_a_row_with_its_counts_and_a_check_command(name: str) -> None:
    row = ROWS[name]
    assert f"`check-data {name} " in TEXT
    assert HAND_SETS[name].url in TEXT
    counted = ("freihand", "ho3d_v2", "ho3d_v3", "youtube3d", "asl_alphabet")
    if name in counted:
        assert all(f"{count:,}" in row for count in HAND_SETS[name].splits.values() if count)


def test_every_anchor_leads_to_a_section() -> None:
    linked = set(re.findall(r"\]\(#([\w-]+)\)", TEXT))
    assert len(linked) > 14
    assert linked <= sections()


def test_no_set_is_in_the_table_that_cannot_be_read() -> None:
    assert set(ROWS) == set(HAND_SETS)


def test_the_mix_shown_is_one_that_can_be_read() -> None:
    block = re.search(r"```yaml\nfinetune:\n(.*?)```", TEXT, flags=re.DOTALL)
    assert block is not None
    mix = MixConfig(**yaml.safe_load(block[1])["mix"])
    for name, member in mix.sets.items():
        assert member.split in HAND_SETS[member.hand_set or name].splits
