"""How MaskHand samples, what it makes of black hands, and its hypotheses, drawn."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.occlusion import OcclusionConfig, occlude
from hand_pipeline.evaluation.joint_error import MM_PER_METRE, joint_errors
from hand_pipeline.evaluation.occlusion import occluded_batches, score_occluded
from hand_pipeline.evaluation.predict import Predict, draw_samples, set_batches
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand.evaluation import MaskHandEvaluationConfig
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.sampling import (
    SampledTokens,
    SamplingConfig,
    mask_counts,
)
from hand_pipeline.viz.hands import comparison_grid
from hand_pipeline.viz.hypotheses import Hypothesis, hypotheses_picture
from hand_pipeline.viz.overlay import SIDE_COLOURS, DrawnHand
from hand_pipeline.viz.sheet import stacked

_CHECKED = 8  # photos on which cached and uncached sampling are compared


def check_sampling(
    model: MaskHand, held_out: WithKeypoints, cfg: MaskHandEvaluationConfig, device: str
) -> dict[str, Any]:
    """The schedule, and whether shortcuts change anything, from really sampling without them.

    `caching_equal` is 1 if tokens, probabilities and mean codes are the same to the last bit when
    the photo is encoded anew in every pass, both for the likeliest tokens and for drawn ones.

    Args:
        model: in eval mode on `device`.
        held_out: its first hands are looked at.
        cfg: how tokens are drawn.
        device: where the images go.
    """
    rows = range(min(_CHECKED, len(held_out)))
    batch = held_out.collate([held_out[row] for row in rows]).to(device)
    settings = {
        "likeliest": cfg.final,
        "drawn": cfg.sampled.model_copy(update={"hypotheses": 2, "temperature": 1.0}),
    }
    equal, repeats = [], []
    for sampling in settings.values():
        cached, again, uncached = (
            _sampled(model, batch, sampling, cfg.seed, cache) for cache in (True, True, False)
        )
        equal.append(_same(cached, uncached))
        repeats.append(_same(cached, again))
    once = _sampled(model, batch, SamplingConfig(iterations=1), cfg.seed, True).ids[:, 0]
    counts = mask_counts(model.tokenizer.num_tokens, cfg.final.iterations)
    return {
        "mask_counts": {f"pass_{number}": count for number, count in enumerate(counts, start=1)},
        "caching_equal": float(all(equal)),
        "seeded_sampling_repeats": float(all(repeats)),
        "one_pass_equals_one_shot": float(torch.equal(once, _one_shot(model, batch))),
        "photos_compared": len(batch),
    }


@torch.inference_mode()
def _sampled(
    model: MaskHand, batch: HandBatch, sampling: SamplingConfig, seed: int, cache: bool
) -> SampledTokens:
    generator = torch.Generator(batch.images.device).manual_seed(seed)
    if cache:
        context = model.encode(batch).context
        return model.sample(context, len(batch), sampling, generator)

    def anew(ids: Tensor, positions: Tensor | None) -> Tensor:
        context = model.encode(batch).context
        logits: Tensor = model.synthesizer(ids, context, positions)
        return logits

    return model.sample_by(anew, len(batch), sampling, generator)


@torch.inference_mode()
def _one_shot(model: MaskHand, batch: HandBatch) -> Tensor:
    """The likeliest code of each token when all are masked."""
    context = model.encode(batch).context
    shape = (len(batch), model.tokenizer.num_tokens)
    masked = torch.full(shape, model.synthesizer.mask_id, device=batch.images.device)
    return model.synthesizer(masked, context).argmax(-1)


def _same(ours: SampledTokens, theirs: SampledTokens) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(ours, theirs) if a is not None and b is not None
    ) and (ours.codes is None) == (theirs.codes is None)


def study_occlusion(
    model: MaskHand,
    handmim: Predict,
    held_out: WithKeypoints,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> tuple[pd.DataFrame, Image.Image]:
    """Errors of both models where most of the hand is black, and some such hands.

    MaskHand is shown once without 2D keypoints, as if the detector found no hand, and once with
    those that the detector saw of the joints that stay visible, which is more than it could see in
    the black picture.

    Args:
        model: in eval mode on the machine's device.
        handmim: the other model's `predict`.
        held_out: the hands.
        cfg: how much is black, and of how many hands.
        machine: device and loader processes.
    """
    device = machine.device
    only_hands = partial(model.predict, only_hands=True)
    rows: list[tuple[str, Predict, bool]] = [
        ("MaskHand, no 2D keypoints", only_hands, False),
        ("MaskHand, keypoints of visible joints", only_hands, True),
        ("HandMIM, then fine-tuned", handmim, False),
    ]
    table = []
    for share in (0.0, *cfg.occlusion):
        occlusion = OcclusionConfig(share=share, seed=cfg.seed)
        for label, predict, keep in rows:
            batches = set_batches(
                held_out, cfg.batch_size, machine, f"{share:.0%} black", cfg.occluded_hands
            )
            painted = occluded_batches(batches, occlusion, keep)
            found = score_occluded(predict, painted, device, cfg.allow_reflection)
            table.append({"black": share, "model": label, **found.summary})
    models: dict[str, Predict] = {"MaskHand": only_hands, "HandMIM": handmim}
    return pd.DataFrame(table), _occluded_picture(held_out, models, model.mano, cfg, device)


def _occluded_picture(
    held_out: WithKeypoints,
    models: dict[str, Predict],
    mano: ManoHand,
    cfg: MaskHandEvaluationConfig,
    device: str,
) -> Image.Image:
    rows, batch = draw_samples(held_out, cfg.shown, cfg.seed)
    sheets = []
    for share in cfg.occlusion:
        painted, _ = occlude(batch, rows, OcclusionConfig(share=share, seed=cfg.seed))
        seen = replace(painted, keypoints=None).to(device)
        meshes, captions = {}, [f"{name}, {share:.0%} black" for name in batch.ids]
        for name, predict in models.items():
            with torch.inference_mode():
                found = predict(seen).to("cpu")
            meshes[name] = found.vertices[:, 0]
            errors = _pa_mpjpe_mm(found.joints_3d[:, 0], batch.joints_3d)
            captions = [f"{text}; {name} {error:.1f} mm" for text, error in zip(captions, errors)]
        pictures = {"photo": batch.images, "what models see": painted.images}
        faces = mano.faces.cpu()
        sheets.append(
            comparison_grid(pictures, batch.intrinsics, meshes, batch.vertices, faces, captions)
        )
    return stacked(sheets)


def draw_hypotheses(
    model: MaskHand, held_out: WithKeypoints, cfg: MaskHandEvaluationConfig, device: str
) -> Image.Image:
    """Some held-out hands, each with its surest hypotheses, and the 100th and 1000th if drawn.

    Args:
        model: in eval mode on `device`; it draws as `cfg.sampled` says from then on.
        held_out: of which some are chosen at random.
        cfg: how many hands and hypotheses.
        device: where the images go.
    """
    model.sampling = cfg.sampled
    batch = draw_samples(held_out, cfg.shown, cfg.seed)[1]
    generator = torch.Generator(device).manual_seed(cfg.seed)
    found = model.predict(batch.to(device), generator).to("cpu")
    assert found.confidence is not None  # left out with `only_hands` alone
    faces, colour = model.mano.faces.cpu(), SIDE_COLOURS["right"]
    pictures = []
    for row, camera in enumerate(batch.intrinsics):
        strip = [
            Hypothesis(DrawnHand(mesh, faces, project(joints, camera), colour), float(confidence))
            for mesh, joints, confidence in zip(
                found.vertices[row], found.joints_3d[row], found.confidence[row]
            )
        ]
        photo = np.ascontiguousarray(batch.images[row].permute(1, 2, 0).numpy())
        pictures.append(hypotheses_picture(photo, [strip], camera, cfg.shown_hypotheses))
    return stacked(pictures)


def _pa_mpjpe_mm(joints: Tensor, truth: Tensor) -> Sequence[float]:
    errors = joint_errors(joints.double().numpy(), truth.double().numpy())["pa_mpjpe"]
    means: list[float] = (errors.mean(axis=1) * MM_PER_METRE).tolist()
    return means
