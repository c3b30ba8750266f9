"""The whole pipeline on real files: synthetic hands, photos, two trainings, scores, report."""

import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image

from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import load_method

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(project: Path, kedro_run: Run) -> Path:
    result = kedro_run()
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return project / "data/smoke"


def test_every_stage_leaves_its_result(finished: Path) -> None:
    results = pd.read_csv(finished / "08_reporting/results_table.csv")
    assert results["model"].tolist() == [
        "mean hand", "supervised, from scratch", "HandMIM, then fine-tuned"
    ]  # fmt: skip
    assert results["num_samples"].eq(8).all()
    assert results.notna().all(axis=None)


def test_what_is_shipped_is_scored_on_the_same_hands(finished: Path) -> None:
    results = pd.read_csv(finished / "08_reporting/results_table.csv")
    table = pd.read_csv(finished / "08_reporting/shipped_table.csv")
    assert table["num_samples"].eq(8).all()
    assert table["model"].tolist()[1:4] == [
        "trained here: supervised, from scratch", "trained here: HandMIM, then fine-tuned",
        "shipped: mediapipe",
    ]  # fmt: skip
    same = table[results.columns[1:]].iloc[:3]
    pd.testing.assert_frame_equal(same, results[results.columns[1:]])
    metrics = json.loads((finished / "08_reporting/shipped_metrics.json").read_text())
    assert metrics["found"] > 0.4
    errors = table.set_index("model")["photos_percent"]
    assert errors["shipped: mediapipe"] < errors["trained here: HandMIM, then fine-tuned"]


def test_labelled_hands_have_the_joints_that_a_detector_sees(finished: Path) -> None:
    metrics = json.loads((finished / "08_reporting/detect_metrics.json").read_text())
    mano = ManoHand(tips="freihand")
    for split, count in (("training", 24), ("evaluation", 8)):
        manifest = read_freihand(finished / "02_intermediate/synthetic_hands", split, mano)
        hands = HandImages(manifest, mano)
        wrapped = WithKeypoints(
            hands, keypoints_of(finished / "03_primary/hand_keypoints", hands, split)
        )
        batch = wrapped.collate([wrapped[row] for row in range(count)])
        assert batch.keypoints is not None
        found = batch.keypoints.confidence > 0
        assert found.any(1).float().mean() == metrics[split]["hands_found"] > 0.4
        assert metrics[split]["hands"] == count
        away = (batch.keypoints.points - batch.joints_2d).norm(dim=-1)[found]
        assert away.median() < 64 / 10
        assert metrics[split]["error_median"] < 0.1
    with Image.open(finished / "08_reporting/keypoints_picture.png") as picture:
        assert picture.width > 6 * 190


def test_broken_photos_are_quarantined_with_their_reason(finished: Path) -> None:
    table = pd.read_csv(finished / "08_reporting/quarantine_table.csv")
    reasons = {Path(row.file).name: row.reason for row in table.itertuples()}
    assert reasons == {"not_a_photo.jpg": "not_an_image", "truncated.jpg": "truncated"}


def test_the_submission_can_be_read_as_the_leaderboard_would(finished: Path) -> None:
    with zipfile.ZipFile(finished / "07_model_output/submission/freihand/pred.zip") as archive:
        joints, vertices = json.loads(archive.read("pred.json"))
    assert (len(joints), len(joints[0]), len(vertices[0])) == (8, 21, 778)


def test_the_report_shows_its_pictures(finished: Path) -> None:
    page = (finished / "08_reporting/report.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 10
    assert "HandMIM, then fine-tuned" in page


def test_mlflow_has_every_loss_term_parameters_and_artifacts(project: Path, finished: Path) -> None:
    client = MlflowClient(f"sqlite:///{project}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`kedro.pipeline` = '__default__'")
    assert run.info.status == "FINISHED"
    expected = {
        "pretrain.loss.pose",
        "pretrain.loss.patch",
        "pretrain.loss.recon",
        "pretrain.monitor.class_entropy",
        "pretrain.images_per_second",
        "finetune_handmim.loss.vertices",
        "finetune_handmim.validation.pa_mpjpe_mm",
        "final.pretrain.start_left",
        "final.pretrain.images_seen",
        "final.frozen_probe.ratio",
        "final.evaluate.handmim.pa_mpvpe_mm",
    }
    assert expected <= run.data.metrics.keys()
    assert [m.step for m in client.get_metric_history(run.info.run_id, "pretrain.loss.pose")] == [
        1, 2, 3, 4, 5, 6
    ]  # fmt: skip
    assert run.data.params["pretrain.training.steps"] == "6"
    assert run.data.params["backbone.embed_dim"] == "48"
    artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "handmim_method.safetensors", "hands_picture.png"} <= artifacts


def test_a_second_run_of_a_finished_stage_trains_nothing(finished: Path, kedro_run: Run) -> None:
    metrics = finished / "08_reporting/pretrain_metrics.json"
    before = metrics.read_text()
    checkpoint = next((finished / ".checkpoints/pretrain").glob("*.safetensors"))
    written = checkpoint.stat().st_mtime_ns
    assert kedro_run("--pipelines", "pretrain").returncode == 0
    assert checkpoint.stat().st_mtime_ns == written
    assert metrics.read_text() == before


def test_a_key_nobody_knows_is_refused_before_anything_runs(kedro_run: Run) -> None:
    result = kedro_run("--pipelines", "pretrain", "--params", "pretrain.training.step=3")
    assert result.returncode != 0
    assert "step" in result.stderr + result.stdout
    assert "Running node" not in result.stdout


def test_an_impossible_value_is_refused_with_its_name(kedro_run: Run) -> None:
    result = kedro_run("--pipelines", "finetune", "--params", "finetune.training.lr=-1")
    assert result.returncode != 0
    assert "greater than 0" in result.stderr + result.stdout
    assert "Running node" not in result.stdout


def test_the_tokenizer_is_trained_scored_and_drawn(finished: Path) -> None:
    reporting = finished / "08_reporting"
    scores = json.loads((reporting / "tokenizer_scores_metrics.json").read_text())
    assert scores["num_samples"] == 8
    assert scores["pa_mpjpe_mm"] > 0
    assert 0 < scores["codes_used"] <= 1
    assert (
        json.loads((reporting / "tokenizer_metrics.json").read_text())["poses"] == 21 + 64
    )  # 3 of 24 are for validation
    assert len(pd.read_csv(reporting / "tokenizer_history.csv")) == 6
    for picture in ("hands_picture", "codes_picture", "curves"):
        assert (reporting / f"tokenizer_{picture}.png").stat().st_size > 1000
    method = load_method(finished / "06_models/tokenizer_method.safetensors")
    assert (method.tokenizer.num_tokens, method.tokenizer.num_codes) == (16, 32)


def test_the_lifter_is_trained_on_detected_landmarks_and_scored(
    finished: Path, kedro_run: Run
) -> None:
    result = kedro_run("--pipelines", "lifter")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    reporting = finished / "08_reporting"
    table = pd.read_csv(reporting / "lifter_table.csv")
    assert table["model"].tolist() == ["mean hand", "lifter, landmarks alone"]
    assert table["num_samples"].eq(8).all()
    assert json.loads((reporting / "lifter_metrics.json").read_text())["hands"] > 24  # photos, too
    assert len(pd.read_csv(reporting / "lifter_history.csv")) == 2
    assert load_method(finished / "06_models/lifter_method.safetensors").cfg.width == 24


def test_maskhand_is_trained_scored_and_drawn(finished: Path) -> None:
    reporting = finished / "08_reporting"
    table = pd.read_csv(reporting / "maskhand_table.csv")
    assert table["model"].tolist() == [
        "mean hand", "HandMIM, then fine-tuned", "MaskHand, T = 1", "MaskHand, T = 3",
        "MaskHand, T = 5", *(f"MaskHand, T = {n}, likeliest codes" for n in (1, 3, 5)),
        "MaskHand, T = 2, surest of 3 drawn",
    ]  # fmt: skip
    assert table["num_samples"].eq(8).all()
    checks = json.loads((reporting / "maskhand_sampling_metrics.json").read_text())
    assert checks["caching_equal"] == 1
    assert checks["mask_counts"] == {
        f"pass_{n}": count for n, count in enumerate((16, 16, 13, 10, 5), 1)
    }
    page = (reporting / "maskhand.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 6
    assert len(pd.read_csv(reporting / "occlusion_table.csv")) == 6
    assert (
        load_method(finished / "06_models/maskhand_method.safetensors").tokenizer.num_tokens == 16
    )


def test_s2hand_is_trained_stage_by_stage_scored_and_drawn(finished: Path) -> None:
    reporting = finished / "08_reporting"
    table = pd.read_csv(reporting / "s2hand_table.csv")
    assert table["model"].tolist() == [
        "mean hand", "S2HAND, self-supervised geometry alone", "S2HAND, self-supervised",
        "S2HAND, weakly supervised (true 2D)", "S2HAND, fully supervised (true 3D)",
    ]  # fmt: skip
    assert table["num_samples"].eq(8).all()
    assert len(pd.read_csv(reporting / "s2hand_keypoints_table.csv")) == 5
    for stage in ("s2hand_2d", "s2hand_3d", "s2hand", "s2hand_weak", "s2hand_full"):
        assert len(pd.read_csv(reporting / f"{stage}_history.csv")) == 4
    page = (reporting / "s2hand.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 4
    method = load_method(finished / "06_models/s2hand_method.safetensors")
    assert method.cfg.supervision == "self"


def test_photos_become_a_labelled_set(finished: Path) -> None:
    metrics = json.loads((finished / "08_reporting/pseudo_label_metrics.json").read_text())
    table = pd.read_csv(finished / "08_reporting/pseudo_label_table.csv")
    assert sum(metrics["outcomes"].values()) == len(table) == metrics["crops"]
    mano = ManoHand(tips="freihand")
    hands = HandImages(read_freihand(finished / "03_primary/pseudo_hands", "training", mano), mano)
    seen = WithKeypoints(hands, keypoints_of(finished / "03_primary/pseudo_keypoints", hands))
    batch = seen.collate([seen[row] for row in range(len(seen))])
    assert batch.keypoints is not None
    away = (batch.keypoints.points - batch.joints_2d).norm(dim=-1)
    assert away.median() < batch.images.shape[-1] / 20
    with Image.open(finished / "08_reporting/pseudo_label_picture.png") as picture:
        assert picture.width > 600


def test_s2hand_goes_on_learning_on_the_photos(finished: Path) -> None:
    reporting = finished / "08_reporting"
    metrics = json.loads((reporting / "s2hand_photos_metrics.json").read_text())
    scores = json.loads((reporting / "s2hand_photos_scores_metrics.json").read_text())
    crops = json.loads((reporting / "collect_metrics.json").read_text())["crops"]
    assert metrics["hands"] + scores["held_out_hands"] == crops
    table = pd.read_csv(reporting / "s2hand_photos_table.csv")
    assert table["model"].str.split().str[0].tolist() == ["before:", "after"]
    assert table["error_mean_px"].gt(0).all()
    assert table["error_mean_px"].nunique() == 2
    page = (reporting / "s2hand_photos.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 2
    before, after = (
        load_method(finished / f"06_models/{name}_method.safetensors").state_dict()
        for name in ("s2hand", "s2hand_photos")
    )
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert {"encoder", "geometry", "appearance", "hourglass"} <= changed


def test_hands_are_generated_from_words_and_from_nothing(finished: Path) -> None:
    reporting = finished / "08_reporting"
    text = json.loads((reporting / "text_metrics.json").read_text())
    assert text["num_hands"] == 26 * 2
    assert text["text_encoder"] in ("clip", "hashed")
    assert 0 <= text["recognised"] <= 1
    table = pd.read_csv(reporting / "generation_table.csv")
    assert table["hands"].tolist() == [
        "MaskHand", "MaskHand, more confident half", "principal components", "held out"
    ]  # fmt: skip
    assert (table["apd_mm"] > 0).all()
    for name in ("text", "generation", "letters"):
        assert (reporting / f"{name}_picture.png").stat().st_size > 1000
    method = load_method(finished / "06_models/maskhand_text_method.safetensors")
    assert method.generate(["A"], 3).mano_pose.shape == (3, 16, 3, 3)
