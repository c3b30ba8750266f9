"""The nodes of `s2hand` and `s2hand_photos` on small models: what each stage learns, and what the
scores, pictures and pages are made of."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.fixtures.freihand import write_freihand

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import DetectedKeypoints, write_keypoints
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.photo_hands import PhotoHandsConfig
from hand_pipeline.data.shards.files import ShardWriter
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.s2hand import evaluation
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.pipelines import s2hand as nodes
from hand_pipeline.pipelines import s2hand_photos as photos
from hand_pipeline.pipelines.s2hand import PAGE, score_keypoints_2d, trains
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint, pack_method
from hand_pipeline.training.loop import TrainConfig

HANDS = 3
ENCODER = EfficientNetConfig(name="mobilenetv2_035", image_size=32)
AUGMENTATION = HandAugmentationConfig(image_size=32)
METHOD = S2HandConfig(hourglass=HourglassConfig(width=8, depth=1, blocks=1))
RUN = TrainConfig(steps=2, batch_size=4, lr=1e-3, log_every=1, checkpoint_every=2)
CFG = nodes.S2HandEvaluationConfig(batch_size=2, shown=2, keypoints_split="evaluation")
PHOTOS = photos.PhotoTrainingConfig(hands=PhotoHandsConfig(held_out=0.4), training=RUN)
EVALUATION = evaluation.PhotoEvaluationConfig(batch_size=2, shown=2)


@dataclass(frozen=True)
class World:
    hands: Path
    keypoints: Path
    crops: Path
    machine: MachineConfig


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("s2hand")
    for split in ("training", "evaluation"):
        write_freihand(root / "hands", split, HANDS)
        hands = open_labelled_hands(root / "hands", split, ManoHand(tips="freihand"))
        truth = hands.labels(np.arange(len(hands)), None).joints_2d.numpy()
        sure = np.ones((len(hands), 21), np.float32)
        if split == "evaluation":
            sure[0] = 0  # no hand was found
        seen = DetectedKeypoints(tuple(hands.ids), truth, sure, 224)
        write_keypoints(root / "keypoints", split, seen)
    write_crops(root / "crops", root / "hands/training/rgb")
    machine = MachineConfig(accelerator="cpu", workspace=root / "work")
    return World(root / "hands", root / "keypoints", root / "crops", machine)


def write_crops(folder: Path, pictures: Path) -> None:
    points = np.random.default_rng(0).uniform(60, 160, (21, 2)).tolist()
    files = sorted(pictures.iterdir())
    with ShardWriter(folder) as writer:
        for number in range(12):
            meta = {
                "sha256": f"photo {number}", "set": f"set {number % 2}", "score": 0.9,
                "matrix": np.eye(3).tolist(),
                "photo_size": (224, 224), "mirrored": False, "landmarks_2d": points,
            }  # fmt: skip
            if number == 0:
                meta["score"] = 0.1
            writer.add(f"crop{number}", files[number % len(files)].read_bytes(), meta)


def fresh(**changes) -> Checkpoint:
    torch.manual_seed(0)
    configs = {
        "cfg": METHOD.model_copy(update=changes), "encoder": ENCODER, "augmentation": AUGMENTATION
    }  # fmt: skip
    return pack_method("s2hand", S2Hand(**configs).state_dict(), **configs)


def arguments(world: World, *start: Checkpoint) -> tuple:
    cfg = nodes.S2HandTrainingConfig(augmentation=AUGMENTATION, encoder=ENCODER, method=METHOD)
    stage = nodes.StageConfig(training=RUN)
    return world.hands, world.keypoints, cfg, stage, world.machine, *start


# ---- what the stages learn


@pytest.mark.slow
def test_the_joint_stage_starts_from_both_first_ones(world, monkeypatch):
    first, _, history = trains("s2hand_2d")(*arguments(world))
    second, metrics, _ = trains("s2hand_3d")(*arguments(world))
    assert history["step"].tolist() == [1, 2]
    assert metrics["hands"] == metrics["hands_detected"] == 2 * HANDS
    started = {}
    monkeypatch.setattr(
        nodes, "train",
        lambda name, build, *_: started.update(build().state_dict()) or pytest.fail("started"),
    )  # fmt: skip
    with pytest.raises(pytest.fail.Exception, match="started"):
        trains("s2hand")(*arguments(world, first, second))
    for name, tensor in started.items():
        source = {"hourglass": first, "encoder": second, "geometry": second}
        if (part := name.split(".")[0]) in source:
            assert torch.equal(tensor, source[part].tensors[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "terms"), [("s2hand_weak", 5), ("s2hand_full", 7)])
def test_labelled_models_learn_geometry_from_labels(world, name, terms):
    packed, _, history = trains(name)(*arguments(world))
    model = restore_method(packed)
    assert model.cfg.supervision == ("full" if terms == 7 else "weak")
    assert len([name for name in history if name.startswith("loss.")]) == terms + 1  # and the total


# ---- scores, curves, page


@pytest.fixture(scope="module")
def folders(world: World) -> tuple[Path, Path]:
    model = fresh()
    labels = fresh(stage="3d", supervision="weak")
    return (
        nodes.predict_self_supervised(world.hands, model, model, CFG, world.machine),
        nodes.predict_supervised(world.hands, labels, labels, CFG, world.machine),
    )


def scores(world: World, folders: tuple[Path, Path]):
    return nodes.score(*folders, world.hands, fresh(), CFG, world.machine)


def test_every_row_is_scored_on_the_same_hands(world, folders):
    metrics, table, samples, curves = scores(world, folders)
    assert table["model"].tolist() == list(nodes.ROWS.values())
    assert table["num_samples"].eq(HANDS).all()
    assert samples.groupby("model").size().to_dict() == dict.fromkeys(nodes.ROWS, HANDS)
    assert np.array(curves).std() > 0
    alone = nodes.score_self_supervised(folders[0], CFG)
    colours = {name: metrics["s2hand"].pop(name) for name in ("texture_psnr_db", "texture_ssim")}
    assert alone == {name: metrics[name] for name in ("mean_hand", "s2hand_3d", "s2hand")}
    assert 0 < colours["texture_psnr_db"] < 40  # an untrained model's grey hand
    assert 0 < colours["texture_ssim"] < 1
    textured = table.set_index("model")[list(colours)].dropna()
    assert textured.index.tolist() == ["S2HAND, self-supervised"]  # only this one has colours
    assert textured.iloc[0].to_dict() == colours


def keypoints_of_stages(world: World, cfg=CFG):
    """Of the three stages' models; those of the 2D branch and the geometry alone are others."""
    torch.manual_seed(1)
    others = fresh(stage="2d"), fresh(stage="3d"), fresh()
    return score_keypoints_2d(world.hands, world.keypoints, *others, cfg, world.machine)


def test_2d_joints_are_compared_by_their_source(world):
    metrics, table, curves = keypoints_of_stages(world)
    assert table["2D joints"].tolist() == list(evaluation.SOURCES.values())
    assert len(table) == 5
    trained = keypoints_of_stages(world, CFG.model_copy(update={"keypoints_split": "training"}))[0]
    assert trained["detected"]["found"] == 1  # training photos, all of them detected
    # the file holds the truth, and of the first hand nothing
    assert metrics["detected"]["found"] == pytest.approx(2 / 3)
    assert metrics["detected"]["error_mean_px"] == pytest.approx(0, abs=1e-3)
    assert metrics["detected"]["auc_2d"] == pytest.approx(2 / 3, abs=0.01)
    for name in ("estimated", "projected", "estimated_alone", "projected_alone"):
        assert metrics[name]["found"] == 1
        assert metrics[name]["error_mean_px"] > 5
        assert 0 <= metrics[name]["auc_2d"] < 0.9
    assert np.array(curves).std() > 0


def test_true_joints_of_a_model_score_full_marks(world, monkeypatch):
    held_out = open_labelled_hands(world.hands, "evaluation", ManoHand(tips="freihand"))
    truth = dict(zip(held_out.ids, held_out.labels(np.arange(HANDS), None).joints_2d))

    def seer(self, batch):
        known = self.cfg.stage == "joint"
        seen = torch.stack([truth[name] for name in batch.ids]) if known else batch.joints_2d * 0
        return seen * (self.image_size / 224)

    monkeypatch.setattr(S2Hand, "estimated_2d", seer)
    metrics, _, _ = keypoints_of_stages(world)
    assert metrics["estimated_alone"]["auc_2d"] < 0.1  # another model's
    assert metrics["estimated"]["auc_2d"] > 0.98
    assert metrics["estimated"]["error_mean_px"] == pytest.approx(0, abs=1e-3)


def test_the_page_shows_every_table_and_picture(world, folders):
    _, table, _, auc = scores(world, folders)
    _, keypoints, curves = keypoints_of_stages(world)
    textured = nodes.draw_textured(world.hands, fresh(), CFG, world.machine)
    shown = {
        "s2hand_table": table, "s2hand_keypoints_table": keypoints,
        "s2hand_textured_picture": textured, "s2hand_auc_curves": auc,
        "s2hand_keypoints_curves": curves, "s2hand_curves": auc,
    }  # fmt: skip
    page = PAGE.render(**shown, **{name: {"steps": 2} for name in PAGE.settings})
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 4
    for text in ("weakly supervised", "estimated by the 2D branch", "auc 2d", "open synthetic"):
        assert text in page


def test_a_checkpoint_of_another_method_is_refused(untrained_pymaf, world):
    with pytest.raises(TypeError, match="the checkpoint of s2hand holds PyMAF, expected S2Hand"):
        nodes.draw_textured(world.hands, untrained_pymaf, CFG, world.machine)


@pytest.fixture(scope="module")
def untrained_pymaf(untrained: Path) -> Checkpoint:
    return load_checkpoint(untrained)


# ---- photos


@pytest.mark.slow
def test_a_model_goes_on_learning_on_photos(world):
    start = fresh()
    packed, metrics, history = photos.train_on_photos(world.crops, start, PHOTOS, world.machine)
    learnt = {"training": PHOTOS.training.model_dump(mode="json")}
    assert packed.metadata | {"data": ""} == start.metadata | learnt | {"data": ""}
    assert len(packed.metadata["data"]) == 64
    assert not torch.equal(
        packed.tensors["geometry.pose.2.bias"], start.tensors["geometry.pose.2.bias"]
    )
    assert metrics["hands"] == metrics["default_camera"]
    assert {"loss.pixel", "loss.consistency", "loss.joint_limits"} <= set(history.columns)
    assert sum(metrics["hands_by_set"].values()) == metrics["hands"]
    found, table, rows = photos.compare_on_photos(
        world.crops, start, packed, PHOTOS, EVALUATION, world.machine
    )
    assert found["held_out_hands"] + metrics["hands"] == 11
    skipped = [metrics["skipped"], found["skipped"]]
    assert sum(each.get("unsure", 0) for each in skipped) == 1
    assert rows["camera"].eq("default").all()
    assert rows["before_px"].mean() == pytest.approx(found["before"]["error_mean_px"])
    assert found["before"] != found["after"]
    assert found["hands_improved"] == (rows["after_px"] < rows["before_px"]).mean()
    assert table["model"].tolist() == list(photos.ROWS.values())
    assert table["error_mean_px"].tolist() == pytest.approx(
        [rows["before_px"].mean(), rows["after_px"].mean()]
    )
    picture = photos.draw_photos(world.crops, packed, rows, PHOTOS, EVALUATION, world.machine)
    shown = {
        "s2hand_photos_table": table, "s2hand_photos_samples_table": rows,
        "s2hand_photos_picture": picture, "s2hand_photos_curves": picture,
    }  # fmt: skip
    page = photos.PAGE.render(**shown, **{name: {"steps": 2} for name in photos.PAGE.settings})
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 2
    for text in ("after learning on photos", "set 1", "No 3D truth exists", "Hands with it: "):
        assert text in page


def test_the_error_before_and_after_is_that_of_each_model_on_photos_held_out(world, monkeypatch):
    held_out = photos.PhotoHands(photos.ShardReader(world.crops), PHOTOS.hands, held_out=True)
    learnt = photos.PhotoHands(photos.ShardReader(world.crops), PHOTOS.hands)
    assert not set(held_out.ids) & set(learnt.ids)
    stages, away, asked = {"before": "3d", "after": "joint"}, {"before": 20.0, "after": 5.0}, []

    def predict(self, batch, only_hands=False):
        asked.extend(batch.ids)
        rows = [held_out.ids.index(name) for name in batch.ids]
        points = torch.from_numpy(np.stack([held_out.seen[row].points for row in rows]))
        off = next(away[name] for name in away if stages[name] == self.cfg.stage)
        joints = (points + torch.tensor([off, 0.0])) * (self.image_size / 224)
        return SimpleNamespace(joints_2d=joints[:, None])

    monkeypatch.setattr(S2Hand, "predict", predict)
    found, _, rows = photos.compare_on_photos(
        world.crops, fresh(stage="3d"), fresh(), PHOTOS, EVALUATION, world.machine
    )
    assert asked == 2 * held_out.ids
    for name, distance in away.items():
        assert found[name]["error_mean_px"] == pytest.approx(distance, abs=1e-3)
        assert found[name]["error_median_px"] == pytest.approx(distance, abs=1e-3)
        assert rows[f"{name}_px"].to_numpy() == pytest.approx(distance, abs=1e-3)
    assert (found["before"]["joints_near"], found["after"]["joints_near"]) == (0, 1)
    assert found["hands_improved"] == 1


def test_where_too_few_photos_were_held_out_ones_that_were_learnt_from_fill_the_picture(
    world, monkeypatch, caplog
):
    captions = []

    def drawn(*given):
        captions.extend(given[-1])
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(evaluation, "textured_sheet", drawn)
    held_out = photos.PhotoHands(photos.ShardReader(world.crops), PHOTOS.hands, held_out=True)
    samples = pd.DataFrame(
        {"id": held_out.ids, "set": held_out.sets, "before_px": 9.0, "after_px": 3.0}
    )
    shown = EVALUATION.model_copy(update={"shown": 10})
    photos.draw_photos(world.crops, fresh(), samples, PHOTOS, shown, world.machine)
    own = [caption for caption in captions if caption.startswith("held out, set ")]
    assert len(own) == len(held_out)
    assert "2D error 9.0 px before, 3.0 after" in own[0]
    assert captions[len(own) :] == ["learnt from"] * (10 - len(own))
    assert "collect more photos" not in caplog.text
    captions.clear()
    many = EVALUATION.model_copy(update={"shown": 40})
    photos.draw_photos(world.crops, fresh(), samples, PHOTOS, many, world.machine)
    assert len(captions) == 11
    assert "11 hands in the picture, not 40" in caplog.text


def test_without_a_photo_to_measure_on_nothing_is_trained(world):
    cfg = PHOTOS.model_copy(update={"hands": PhotoHandsConfig(held_out=1e-9)})
    with pytest.raises(DataSetError, match=r"none to measure on; .* raise held_out \(1e-09\)"):
        photos.train_on_photos(world.crops, fresh(), cfg, world.machine)


def test_a_model_that_needs_labels_cannot_learn_on_photos(world):
    with pytest.raises(ValueError, match="photos have no labels"):
        photos.train_on_photos(world.crops, fresh(supervision="weak"), PHOTOS, world.machine)
