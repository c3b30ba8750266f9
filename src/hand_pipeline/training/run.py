"""Train a method: seed, build, resume, train, count unreadable photos, make the checkpoint."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import Batch
from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelledSubset, LabelsConfig
from hand_pipeline.data.hand_images import read_bad_photos
from hand_pipeline.data.hand_mix import HandMix, MixConfig, open_training_hands
from hand_pipeline.data.loader import BatchedSet, batches_from
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.training.checkpoint import Checkpoint, pack_method, tensors_hash
from hand_pipeline.training.launch import launch
from hand_pipeline.training.loop import Record, TrainConfig, fit
from hand_pipeline.training.method import Method
from hand_pipeline.training.seeding import seed_everything

logger = logging.getLogger(__name__)

LabelledHands = HandMix | LabelledSubset | WithKeypoints
"""What `open_hands` returns."""


@runtime_checkable
class TrainingData(BatchedSet[Batch], Protocol):
    """A data set with a fingerprint of its content."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        ...


@runtime_checkable
class RecordSink(Protocol):
    """Where records go besides the history: MLflow, a study, a file. Must be picklable."""

    def __call__(self, record: Record) -> None:
        """Take one record; may buffer it."""

    def flush(self) -> None:
        """Write out the buffered records."""


@runtime_checkable
class Validator(Protocol):
    """What a training is validated with (`loop.Validate`); picklable, and a run is known by it."""

    def __call__(self, method: Method) -> Mapping[str, float]:
        """Metrics of a method in eval mode; the first is what `keep: best` minimises."""

    @property
    def fingerprint(self) -> str:
        """Hash of the samples and of how they are scored."""
        ...


class Watch(NamedTuple):
    """What looks on while a method is trained.

    Attributes:
        sink: receives each record, on rank 0.
        validate: scores the method every `TrainConfig.validate_every` steps.
    """

    sink: RecordSink | None = None
    validate: Validator | None = None


class Trained(NamedTuple):
    """What a training node returns.

    Attributes:
        checkpoint: of the method, for `methods.restore_method`.
        metrics: the caller's counts, `unreadable_photos` (labelled hands only), the last record;
            with `keep: best`, the best validation and its `best_step`.
        history: one row per record, from step 0 even if the run was resumed.
    """

    checkpoint: Checkpoint
    metrics: dict[str, Any]
    history: pd.DataFrame


def train(
    stage: str,
    build: Callable[[], Method],
    data: TrainingData,
    training: TrainConfig,
    machine: MachineConfig,
    counts: Mapping[str, Any],
    watch: Watch | None = None,
) -> Trained:
    """Build and train a method, resuming from the same run's running checkpoint if there is one.

    Args:
        stage: names the run and the folder of its running checkpoints.
        build: makes the untrained method; called after seeding, so its weights follow the seed.
        data: the training data.
        training: steps, learning rate, seed.
        machine: where it runs.
        counts: metrics known before training: samples, steps.
        watch: receives the records, and validates.

    Raises:
        ValueError: `validate_every` is set, but no samples are held out.
    """
    watch = watch or Watch()
    if training.validate_every is not None and watch.validate is None:
        raise ValueError(
            f"{stage}: validate_every is {training.validate_every}, but no samples are held out to "
            "validate on: give a share of them (labels.validation), or set validate_every to null"
        )
    seed_everything(training.seed)
    method = build()
    checkpoint = running_checkpoint(machine, stage, training, method, data, watch.validate)
    if not checkpoint.exists():
        bad_photos_of(machine, stage).unlink(missing_ok=True)  # of another run
    tensors, history = launch(
        _train, stage, method, data, training, machine, checkpoint, watch, devices=machine.devices
    )
    metrics = dict(counts)
    if isinstance(data, LabelledHands):
        metrics["unreadable_photos"] = _report_bad_photos(bad_photos_of(machine, stage))
    timing = ("images_per_second", "memory_gb")
    metrics |= {k: v for k, v in history[-1].scalars().items() if k not in timing}
    if training.keep == "best":
        validated = [record for record in history if record.validation]
        best = min(validated, key=lambda record: next(iter(record.validation.values())))
        metrics |= {f"validation.{name}": value for name, value in best.validation.items()}
        metrics["best_step"] = best.step
    table = pd.DataFrame([{"step": r.step, **r.scalars()} for r in history])
    packed = pack_method(method.name, tensors, **method.configs)
    packed.metadata["training"] = training.model_dump(mode="json")
    packed.metadata["data"] = data.fingerprint
    return Trained(packed, metrics, table)


def running_checkpoint(
    machine: MachineConfig,
    stage: str,
    training: TrainConfig,
    method: Method,
    data: TrainingData,
    validate: Validator | None = None,
) -> Path:
    """Path of a run's running checkpoint, named by a hash of everything that decides its result.

    It is outside every stage's outputs, because DVC deletes those before it runs a stage. Only a
    run with the same configuration, data, initial weights and code finds it again. The code is
    that of the training, of the method's paper and of the data set's class.

    Args:
        method: before training.
    """
    key = run_key(
        stage=stage, data=data.fingerprint, method=method.name,
        code=code_hash(__name__, type(method).__module__, type(data).__module__),
        start=tensors_hash(method.state_dict()), training=training.model_dump(mode="json"),
        configs={name: cfg.model_dump(mode="json") for name, cfg in method.configs.items()},
        validation=None if validate is None else validate.fingerprint,
    )  # fmt: skip
    return machine.workspace / stage / f"{key}.safetensors"


def bad_photos_of(machine: MachineConfig, stage: str) -> Path:
    """File in which a stage's data set lists the photos that it cannot read."""
    return machine.workspace / stage / "bad_photos.jsonl"


class ValidationConfig(Config):
    """On how many of the samples held out for it a training is validated (`labels.validation`)."""

    samples: int = Field(512, gt=0, description="drawn once at random; all where there are fewer")
    batch_size: int = Field(64, gt=0, description="samples at once")


class LabelledTrainingConfig(Config):
    """Configuration that every training on labelled hands shares."""

    validation: ValidationConfig = ValidationConfig()
    labels: LabelsConfig = Field(LabelsConfig(), description="which labels may be used")
    mix: MixConfig = Field(MixConfig(), description="which data sets; none: the catalog's")
    augmentation: HandAugmentationConfig


def open_hands(
    stage: str,
    labelled_hands: Path,
    cfg: LabelledTrainingConfig,
    mano_model: Path | None,
    machine: MachineConfig,
    keypoints: Path | None = None,
) -> LabelledHands:
    """The labelled hands a stage trains on; unreadable photos are listed for `train` to count.

    Args:
        stage: as given to `train`.
        labelled_hands: folder of the catalog's data set.
        cfg: which data sets and labels.
        mano_model: converted MANO file of the sets' poses; None: the open hand.
        machine: its workspace holds the list of unreadable photos.
        keypoints: folder of detected 2D keypoints to add to every batch.

    Raises:
        DataSetError: a folder does not hold the set, or the keypoints belong to other hands.
    """
    bad_photos = bad_photos_of(machine, stage)
    hands = open_training_hands(labelled_hands, cfg.mix, cfg.labels, mano_model, bad_photos)
    if keypoints is None:
        return hands
    return WithKeypoints(hands, keypoints_of(keypoints, hands, files=cfg.mix.keypoint_files))


def _report_bad_photos(path: Path) -> int:
    """Warn of every unreadable photo; returns their number."""
    bad = read_bad_photos(path)
    for row in bad:
        logger.warning("left out %(file)s: %(reason)s, %(detail)s", row)
    return len(bad)


def _train(
    stage: str,
    method: Method,
    data: TrainingData,
    training: TrainConfig,
    machine: MachineConfig,
    checkpoint: Path,
    watch: Watch,
) -> tuple[dict[str, Tensor], list[Record]]:
    """Train, in each rank; returns the final weights on the CPU and all records."""
    distributed = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    stream = batches_from(
        data,
        batch_size=training.batch_size,
        seed=training.seed,
        num_workers=machine.num_workers,
        rank=rank,
        world_size=torch.distributed.get_world_size() if distributed else 1,
        pin_memory=machine.device == "cuda",
    )
    history = list[Record]()
    with tqdm(total=training.steps, desc=stage, unit="step", disable=rank > 0) as bar:
        for record in fit(method, stream, training, machine, checkpoint, watch.validate):
            history.append(record)
            bar.update(record.step - bar.n)
            bar.set_postfix(loss=f"{record.total:.4f}", refresh=False)
            if rank == 0 and watch.sink is not None:
                watch.sink(record)
    if rank == 0 and watch.sink is not None:
        watch.sink.flush()
    return {name: tensor.cpu() for name, tensor in method.state_dict().items()}, history
