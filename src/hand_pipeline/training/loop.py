"""The training loop: `fit` trains every method."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import Batch
from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hand_pipeline.training.method import Method
from hand_pipeline.training.schedules import cosine, warmup_cosine, warmup_steps_down
from hand_pipeline.training.seeding import seed_everything

if TYPE_CHECKING:
    from lightning_fabric.wrappers import _FabricModule

BatchesFrom = Callable[[int], Iterator[Batch]]
"""Given a step, the batches from it on: data is a function of (seed, step), hence resumable."""

Validate = Callable[[Method], Mapping[str, float]]
"""Metrics of a method, which comes in eval mode and without gradients, on samples that it does not
learn from; the first is the one that `keep: best` minimises."""


class TrainConfig(Config):
    """Length, optimizer and schedules of a training; not the method or the machine. No epochs."""

    steps: int = Field(gt=0, description="total optimizer steps")
    batch_size: int = Field(gt=0, description="samples per step, over all devices")
    lr: float = Field(gt=0, description="peak learning rate")
    schedule: Literal["cosine", "step"] = Field(
        "cosine", description="learning rate: cosine to final_lr, or a factor every step_every"
    )
    final_lr: float = Field(1e-6, ge=0, description="final learning rate (schedule: cosine)")
    step_every: int | None = Field(None, gt=0, description="steps between decays (schedule: step)")
    step_factor: float | None = Field(
        None, gt=0, lt=1, description="learning-rate factor at each decay (schedule: step)"
    )
    warmup_steps: int = Field(0, ge=0, description="linear warm-up from 0")
    weight_decay: float = Field(0.0, ge=0, description="initial value; on matrices only")
    final_weight_decay: float | None = Field(None, ge=0, description="cosine end; null: constant")
    optimizer: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = Field(0.0, ge=0, description="largest gradient norm; 0: no clipping")
    clip_by: Literal["global", "tensor"] = Field(
        "global", description="global norm, or each tensor's (iBOT)"
    )
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    seed: int = Field(0, ge=0)
    log_every: int = Field(10, gt=0, description="steps per record, which averages over them")
    checkpoint_every: int = Field(100, gt=0, description="steps; a multiple of log_every")
    validate_every: int | None = Field(
        None, gt=0, description="steps, a multiple of log_every; and at the end. null: never"
    )
    keep: Literal["last", "best"] = Field(
        "last", description="the weights of the last step, or of the best validation"
    )

    @model_validator(mode="after")
    def _whole_intervals(self) -> "TrainConfig":
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every ({self.checkpoint_every}) must be a multiple of log_every "
                f"({self.log_every}), so that a resumed run averages over the same steps"
            )
        if self.validate_every is not None and self.validate_every % self.log_every:
            raise ValueError(
                f"validate_every ({self.validate_every}) must be a multiple of log_every "
                f"({self.log_every}), because a record holds what was validated"
            )
        if self.keep == "best" and self.validate_every is None:
            raise ValueError("keep: best needs validate_every: without it nothing is validated")
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below steps ({self.steps})"
            )
        return self

    @model_validator(mode="after")
    def _one_schedule(self) -> "TrainConfig":
        given = {"step_every": self.step_every, "step_factor": self.step_factor}
        if self.schedule == "cosine":
            if unused := [name for name, value in given.items() if value is not None]:
                raise ValueError(
                    f"{' and '.join(unused)} belong to schedule 'step', but schedule is 'cosine': "
                    "set schedule: step, or leave them out"
                )
            return self
        if self.step_every is None or self.step_factor is None:
            missing = [name for name, value in given.items() if value is None]
            raise ValueError(f"schedule 'step' needs {' and '.join(missing)}")
        if self.final_lr != type(self).model_fields["final_lr"].default:
            raise ValueError(
                f"final_lr ({self.final_lr}) belongs to schedule 'cosine', but schedule is 'step': "
                "leave final_lr out"
            )
        if self.warmup_steps > self.step_every:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must not be above step_every "
                f"({self.step_every}): the learning rate would decay before the warm-up ends"
            )
        return self

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step (from 0); depends only on it, so a resumed run has the same."""
        if self.step_every is not None and self.step_factor is not None:
            return warmup_steps_down(
                step, self.lr, self.warmup_steps, self.step_every, self.step_factor
            )
        return warmup_cosine(step, self.steps, self.lr, self.warmup_steps, self.final_lr)


@dataclass(frozen=True)
class Record:
    """What happened in the steps since the last record.

    Attributes:
        step: steps done so far.
        total: weighted sum of the losses.
        losses: each unweighted term, averaged over the interval (and over devices).
        monitors: the method's monitors, at the interval's last step.
        learning_rate, weight_decay, grad_norm: at the interval's last step.
        images_per_second: over all devices.
        memory_gb: peak device memory; 0 on a CPU.
        validation: metrics on samples that are not trained on; empty where none were taken.
        replayed: restored from the checkpoint that a resumed run starts from.
    """

    step: int
    total: float
    losses: dict[str, float]
    monitors: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    weight_decay: float = 0.0
    grad_norm: float = 0.0
    images_per_second: float = 0.0
    memory_gb: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)
    replayed: bool = False

    def scalars(self) -> dict[str, float]:
        """Every value, by its name in MLflow and in the history table."""
        grouped = {"loss": self.losses, "monitor": self.monitors, "validation": self.validation}
        flat = {f"{group}.{k}": v for group, values in grouped.items() for k, v in values.items()}
        plain = ("learning_rate", "weight_decay", "grad_norm", "images_per_second", "memory_gb")
        return {"loss.total": self.total} | flat | {name: getattr(self, name) for name in plain}


class NonFiniteLossError(FloatingPointError):
    """A loss became NaN or infinite; the last good checkpoint, if any, is kept."""


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total loss.

    Raises:
        KeyError: terms and weights have different names.
    """
    if terms.keys() != weights.keys():
        raise KeyError(f"loss terms {sorted(terms)} do not match loss_weights {sorted(weights)}")
    return torch.stack([weights[name] * terms[name].float() for name in terms]).sum()


def build_optimizer(method: Method, cfg: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or Adam over the method's parameter groups."""
    make = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[cfg.optimizer]
    groups = [g for g in method.param_groups() if g["params"]]
    for group in groups:
        group.setdefault("lr_scale", 1.0)
        group["decays"] = "weight_decay" not in group
    return make(groups, lr=cfg.lr, betas=cfg.betas, weight_decay=cfg.weight_decay)


def fit(
    method: Method,
    batches_from: BatchesFrom,
    cfg: TrainConfig,
    machine: MachineConfig | None = None,
    checkpoint: Path | None = None,
    validate: Validate | None = None,
) -> Iterator[Record]:
    """Train `method` in place, yielding a record every `log_every` steps.

    At the end it has the weights that `cfg.keep` names; of several ranks, the first has.

    Interrupted at any point and called again with the same arguments, it continues from the last
    checkpoint and ends bit-equal to an uninterrupted run (on one machine). Records made before are
    yielded first, marked `replayed`, so the caller sees the same stream.

    Args:
        checkpoint: file of the running checkpoint; None keeps none.
        validate: called every `validate_every` steps, on the first rank. It does not change the
            training: torch's random state is put back.

    Raises:
        ValueError: `validate_every` without `validate`.
        NonFiniteLossError: with the step, the term and the ids of the batch.
    """
    if cfg.validate_every is not None and validate is None:
        raise ValueError("validate_every is set, but there is nothing to validate on")
    loop = _Loop(method, cfg, machine or MachineConfig(), checkpoint, validate)
    yield from loop.history
    batches = batches_from(loop.step)
    while loop.step < cfg.steps:
        loop.train_step(next(batches))
        if loop.step % cfg.log_every == 0 or loop.step == cfg.steps:
            yield loop.record()
    loop.finish()


@dataclass
class _Best:
    """The method's state at its best validation."""

    score: float
    state: dict[str, Tensor]


@dataclass
class _Interval:
    """Steps since the last record. Losses stay on the device: reading them would synchronise."""

    started: float
    losses: list[Tensor] = field(default_factory=list)
    ids: list[tuple[str, ...]] = field(default_factory=list)
    grad_norm: Tensor | None = None


class _Losses(nn.Module):
    """What DDP wraps: its forward is the method's `losses`.

    The batch comes in a callable, because Fabric rebuilds every collection it is passed.
    """

    def __init__(self, method: Method):
        super().__init__()
        self.method = method

    def forward(self, batch: Callable[[], Batch], step: int) -> dict[str, Tensor]:
        return self.method.losses(batch(), step)


class _Loop:
    def __init__(
        self,
        method: Method,
        cfg: TrainConfig,
        machine: MachineConfig,
        checkpoint: Path | None,
        validate: Validate | None,
    ):
        # Imported here because Fabric and torchmetrics take seconds to load.
        from lightning_fabric import Fabric
        from lightning_fabric.wrappers import _FabricOptimizer

        self.method, self.cfg, self.checkpoint = method, cfg, checkpoint
        self.validate = validate
        self.best: _Best | None = None
        method.total_steps = cfg.steps
        self.fabric = Fabric(
            accelerator=machine.accelerator,
            devices=machine.devices if torch.distributed.is_initialized() else 1,
            precision=cfg.precision,
            strategy="ddp" if torch.distributed.is_initialized() else "auto",
        )
        self.fabric.launch()
        method.to(self.fabric.device).train()
        self.optimizer = build_optimizer(method, cfg)
        self.step, self.history = 0, list[Record]()
        if checkpoint is not None and checkpoint.exists():
            self._restore(load_checkpoint(checkpoint))
        if machine.compile:
            method.compile_networks()
        self.module: "_FabricModule" = self.fabric.setup_module(_Losses(method))
        wrapped = self.fabric.setup_optimizers(self.optimizer)
        assert isinstance(wrapped, _FabricOptimizer)  # one optimizer in, one out
        self.wrapped = wrapped
        self.interval = _Interval(time.perf_counter())

    def train_step(self, batch: Batch) -> None:
        """One optimizer step."""
        cfg = self.cfg
        seed_everything(cfg.seed, self.step, self.fabric.global_rank)
        self._schedule()
        batch = batch.to(self.fabric.device)
        terms = self.module(lambda: batch, self.step)
        loss = weighted_sum(terms, self.method.loss_weights)
        self.fabric.backward(loss)
        self.interval.grad_norm = self._clip()
        self.wrapped.step()
        self.wrapped.zero_grad()
        self.method.after_step(self.step)
        self.interval.losses.append(torch.stack([terms[n].detach().float() for n in sorted(terms)]))
        self.interval.ids.append(batch.ids)
        self.step += 1

    def _schedule(self) -> None:
        cfg = self.cfg
        lr = cfg.learning_rate(self.step)
        end = cfg.weight_decay if cfg.final_weight_decay is None else cfg.final_weight_decay
        weight_decay = cosine(self.step, cfg.steps, cfg.weight_decay, end)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
            if group["decays"]:
                group["weight_decay"] = weight_decay

    def _clip(self) -> Tensor:
        """Clip gradients as configured; returns their global norm before clipping."""
        parameters = [p for p in self.method.parameters() if p.grad is not None]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients))
        total = torch.linalg.vector_norm(norms)
        if self.cfg.clip and self.cfg.clip_by == "global":
            factor = (self.cfg.clip / (total + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(gradients, factor)
        elif self.cfg.clip:
            factors = (self.cfg.clip / (norms + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(gradients, list(factors.unbind()))
        return total

    def record(self) -> Record:
        """Close the interval: check its losses, and save a checkpoint where due."""
        cfg, interval = self.cfg, self.interval
        names = sorted(self.method.loss_weights)
        losses = torch.stack(interval.losses)  # (steps, terms)
        self._check_finite(losses.cpu(), names)
        mean = self.fabric.all_reduce(losses.mean(0), reduce_op="mean")
        assert isinstance(mean, Tensor)  # a tensor in, a tensor out
        values = dict(zip(names, mean.tolist()))
        elapsed = time.perf_counter() - interval.started
        cuda = self.fabric.device.type == "cuda"
        record = Record(
            step=self.step,
            total=sum(self.method.loss_weights[n] * v for n, v in values.items()),
            losses=values,
            monitors={n: float(v) for n, v in self.method.monitors().items()},
            learning_rate=self.optimizer.param_groups[0]["lr"],
            weight_decay=self.optimizer.param_groups[0]["weight_decay"],
            grad_norm=float(interval.grad_norm if interval.grad_norm is not None else 0.0),
            images_per_second=cfg.batch_size * len(interval.losses) / elapsed,
            memory_gb=torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0,
        )
        record = replace(record, validation=self._validate())
        self.history.append(record)
        if self.step % cfg.checkpoint_every == 0 or self.step == cfg.steps:
            self._save()
        self.interval = _Interval(time.perf_counter())
        return record

    def _validate(self) -> dict[str, float]:
        """Validate where due, on the first rank; the best state so far is kept if asked for."""
        every = self.cfg.validate_every
        if every is None or (self.step % every and self.step != self.cfg.steps):
            return {}
        found: dict[str, float] = {}
        if self.fabric.global_rank == 0 and self.validate is not None:
            cuda = [self.fabric.device] if self.fabric.device.type == "cuda" else []
            with torch.random.fork_rng(cuda), torch.no_grad():
                self.method.eval()
                found = {name: float(value) for name, value in self.validate(self.method).items()}
                self.method.train()
            if bad := [name for name, value in found.items() if not math.isfinite(value)]:
                raise NonFiniteLossError(
                    f"{bad[0]} of the validation samples is {found[bad[0]]} at step {self.step}: "
                    "the training has diverged. Lower the learning rate or lengthen the warm-up"
                )
            score = next(iter(found.values()))
            if self.cfg.keep == "best" and (self.best is None or score < self.best.score):
                state = {n: t.detach().cpu().clone() for n, t in self.method.state_dict().items()}
                self.best = _Best(score, state)
        self.fabric.barrier()
        return found

    def finish(self) -> None:
        """Put the best weights in place of the last, if asked for."""
        if self.best is not None:
            self.method.load_state_dict(self.best.state)

    def _check_finite(self, losses: Tensor, names: list[str]) -> None:
        bad = (~losses.isfinite()).nonzero().tolist()
        if not bad:
            return
        row, column = bad[0]
        saved = f"the last good checkpoint is {self.checkpoint}" if self.checkpoint else ""
        raise NonFiniteLossError(
            f"loss term '{names[column]}' is {losses[row, column].item()} at step "
            f"{self.step - len(losses) + row}; batch ids: {', '.join(self.interval.ids[row][:16])}"
            f"{' ...' if len(self.interval.ids[row]) > 16 else ''}. {saved}. Lower the learning "
            "rate, lengthen the warm-up or inspect these samples, then run again"
        )

    def _save(self) -> None:
        if self.checkpoint is not None and self.fabric.global_rank == 0:
            tensors = {f"method.{n}": t for n, t in self.method.state_dict().items()}
            for index, state in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{n}": t for n, t in state.items()}
            metadata = {"step": self.step, "history": [asdict(r) for r in self.history]}
            if self.best is not None:
                tensors |= {f"best.{n}": t for n, t in self.best.state.items()}
                metadata["best"] = self.best.score
            save_checkpoint(self.checkpoint, Checkpoint(tensors, metadata))
        self.fabric.barrier()

    def _restore(self, saved: Checkpoint) -> None:
        parts: dict[str, dict[str, Tensor]] = {"method": {}, "optimizer": {}, "best": {}}
        for name, tensor in saved.tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        load_strictly(self.method, parts["method"], f"the running checkpoint {self.checkpoint}")
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in parts["optimizer"].items():
            index, _, entry = name.partition(".")
            state.setdefault(int(index), {})[entry] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if parts["best"]:
            self.best = _Best(saved.metadata["best"], parts["best"])
        self.step = saved.metadata["step"]
        self.history = [Record(**{**r, "replayed": True}) for r in saved.metadata["history"]]
