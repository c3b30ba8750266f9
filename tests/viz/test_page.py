"""The page of a run holds what was given, and nothing from outside."""

import html
import io
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hand_pipeline.config import Config
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.run_page import OPEN_HAND_NOTICE, From, RunPage

RESULTS = pd.DataFrame(
    {
        "model": ["mean hand", "HandMIM <then> fine-tuned"],
        "pa_mpvpe_mm": [16.0, 8.0],
        "f5": [0.3, 0.6],
        "num_samples": [10, 10],
    }
)
HISTORY = pd.DataFrame({"step": np.arange(0, 50, 10), "loss.total": np.linspace(10, 5, 5)})


def rendered(results: pd.DataFrame = RESULTS, /, **parts: Any) -> str:
    values = {"results": results, **parts.pop("values", {})}
    page = RunPage("Demo", "results", **parts)
    assert set(page.inputs) == set(values)
    return page.render(**values)


def test_the_page_is_one_file_with_its_figures_inside():
    page = rendered(
        figures={"Hands": "hands", "Curves": "curves"},
        settings=("params:train",),
        values={
            "hands": Image.new("RGB", (8, 8)),
            "curves": training_curves(HISTORY),
            "params:train": {"lr": 0.1},
        },
    )
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http://" not in page
    assert OPEN_HAND_NOTICE in html.unescape(page)
    assert "<summary>train</summary>" in page


def test_models_are_compared_with_the_first_row_and_the_best_is_marked():
    page = rendered()
    assert "-50 %" in page
    assert "+100 %" in page
    assert page.count('class="best"') == 2
    assert "num_samples" not in page


def test_a_metric_that_a_model_lacks_is_not_given():
    page = rendered(RESULTS.assign(f5=[0.3, float("nan")]))
    assert page.count("not given") == 1
    assert "+100 %" not in page


def test_the_page_escapes_what_it_is_given():
    page = rendered(
        settings=("params:cfg.text",),
        values={"params:cfg.text": {"note": "<script>alert(1)</script>"}},
    )
    assert "<script>" not in page
    assert "HandMIM &lt;then&gt; fine-tuned" in page


def test_typed_settings_are_printed_field_by_field():
    class Optimizer(Config):
        lr: float

    class Training(Config):
        optimizer: Optimizer

    values = {"params:train": {"training": Training(optimizer=Optimizer(lr=0.1))}}
    page = html.unescape(rendered(settings=("params:train",), values=values))
    assert json.loads(page.split("<pre>")[1].split("</pre>")[0]) == {
        "training": {"optimizer": {"lr": 0.1}}
    }


def test_every_shown_metric_is_explained():
    assert rendered().count("<dt>") == 2


def test_tables_have_plain_headings_and_nothing_for_what_is_missing():
    table = pd.DataFrame({"near_10_px": [0.123456, float("nan")], "name": ["a_b", "c"]})
    page = rendered(tables={"Joints": "joints"}, values={"joints": table})
    assert "<th>near 10 px</th>" in page
    assert "<td>0.1235</td><td>a_b</td>" in page
    assert "<td></td><td>c</td>" in page


def test_tables_and_notes_can_be_made_from_a_data_set():
    counts = {"hands": 8, "photos": 5}
    page = rendered(
        tables={"Counts": From("counts", lambda found: pd.DataFrame([found]))},
        notes=("Plain.", From("counts", lambda found: f"{found['photos']} photos")),
        values={"counts": counts},
    )
    assert "<td>8</td><td>5</td>" in page
    assert '<p class="note">5 photos</p>' in page
    assert OPEN_HAND_NOTICE not in html.unescape(page)


def test_equal_runs_give_equal_pages():
    pages = [
        rendered(figures={"Curves": "curves"}, values={"curves": training_curves(HISTORY)})
        for _ in range(2)
    ]
    assert pages[0] == pages[1]


def test_png_bytes_are_taken_as_they_are():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format="PNG")
    page = rendered(figures={"Hands": "hands"}, values={"hands": buffer.getvalue()})
    assert page.count("data:image/png;base64,iVBOR") == 1


def test_results_without_a_known_metric_are_refused():
    with pytest.raises(ValueError, match="pa_mpjpe_mm"):
        rendered(pd.DataFrame({"model": ["a"], "loss": [1.0]}))
