"""What the passes of sampling do: how sure they are of each token, and where the tokens look.

The counterparts of figures 12 and 16 of MaskHand (arXiv 2412.13393).
"""

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.evaluation.predict import draw_samples
from hand_pipeline.geometry.joints import FINGER_NAMES, MANO_JOINTS
from hand_pipeline.methods.maskhand.context_synthesizer import SynthesizerLayer
from hand_pipeline.methods.maskhand.deformable_attention import DeformableAttention
from hand_pipeline.methods.maskhand.evaluation import MaskHandEvaluationConfig
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.network import EncodedImages
from hand_pipeline.methods.maskhand.sampling import SamplingConfig, probability_of
from hand_pipeline.viz.figure import COLOURS, plain_axes, to_image

_PARTS = ("wrist", *FINGER_NAMES)
_COLOUR_OF = dict(zip(_PARTS, COLOURS, strict=True))


class Pass(NamedTuple):
    """One pass of sampling.

    Attributes:
        asked: which tokens were masked, and so drawn in it.
        probabilities: of every token after it.
    """

    asked: Bool[Tensor, "hands tokens"]
    probabilities: Float[Tensor, "hands tokens"]

    @property
    def confidence(self) -> Float[Tensor, " hands"]:
        """Geometric mean over a hand's tokens, as `SampledTokens.confidence`."""
        return self.probabilities.log().mean(-1).exp()


class Looks(NamedTuple):
    """Where tokens look in the image, 0 to 1, in the pass in which all are masked.

    Attributes:
        references: their reference points.
        places: of each layer the places that are sampled.
        weights: of the places, summing to 1.
    """

    references: Float[Tensor, "hands tokens 2"]
    places: list[Float[Tensor, "hands tokens samples 2"]]
    weights: list[Float[Tensor, "hands tokens samples"]]


def draw_sampling(
    model: MaskHand, held_out: WithKeypoints, cfg: MaskHandEvaluationConfig, device: str
) -> tuple[Image.Image, Image.Image]:
    """Confidence after each pass, and where tokens look, of some held-out hands.

    Args:
        model: in eval mode on `device`.
        held_out: of which some are chosen at random.
        cfg: passes, hands in a batch and in pictures.
        device: where the images go.
    """
    batch = draw_samples(held_out, max(cfg.batch_size, cfg.shown), cfg.seed)[1]
    with torch.inference_mode():
        encoded = model.encode(batch.to(device))
        passes = passes_of(model, encoded, len(batch), cfg.final)
        looks = looks_of(model, encoded, len(batch))
    shown = range(min(cfg.shown, len(batch)))
    return (
        to_image(passes_figure(passes, batch.ids[: len(shown)])),
        to_image(looks_figure(batch.rows(shown), encoded, looks)),
    )


def passes_of(
    model: MaskHand, encoded: EncodedImages, hands: int, sampling: SamplingConfig
) -> list[Pass]:
    """The passes of one hand an image at temperature 0."""
    found: list[Pass] = []

    def watched(ids: Tensor, positions: Tensor | None) -> Tensor:
        logits: Tensor = model.synthesizer(ids, encoded.context, positions)
        best = probability_of(logits.argmax(-1), logits.float(), model.likeness)
        probabilities = found[-1].probabilities if found else best
        if positions is not None:
            best = probabilities.scatter(1, positions, best)
        found.append(Pass((ids == model.synthesizer.mask_id).cpu(), best))
        return logits

    model.sample_by(watched, hands, sampling)
    return [Pass(each.asked, each.probabilities.cpu()) for each in found]


def looks_of(model: MaskHand, encoded: EncodedImages, hands: int) -> Looks:
    """Where the tokens of one hand an image look when all are masked."""
    seen: list[tuple[DeformableAttention, tuple[Any, ...]]] = []
    layers = cast("list[SynthesizerLayer]", model.synthesizer.layers)
    hooks = [
        layer.cross_attention.register_forward_pre_hook(
            lambda module, given: seen.append((cast(DeformableAttention, module), given))
        )
        for layer in layers
    ]
    model.synthesizer(model.synthesizer.masked(hands), encoded.context)
    for hook in hooks:
        hook.remove()
    found = [attention.looks(*given) for attention, given in seen]
    places, weights = ([each.cpu() for each in part] for part in zip(*found))
    return Looks(seen[0][1][1].cpu(), places, weights)


def passes_figure(passes: list[Pass], ids: tuple[str, ...]) -> Figure:
    """Confidence of all hands by pass, and of the first ones the probability of every token.

    Args:
        passes: in their order, of at least as many hands as `ids`.
        ids: of the first hands.
    """
    figure = Figure(figsize=(10, 1.1 + 1.1 * len(ids)), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(2, 3))[0]
    axes = left.subplots()
    numbers = np.arange(1, len(passes) + 1)
    by_hand = 100 * np.stack([each.confidence.numpy() for each in passes])
    axes.plot(numbers, by_hand, color=COLOURS[0], linewidth=0.6, alpha=0.5)
    axes.plot(numbers, by_hand.mean(1), color=COLOURS[1], marker="o", label="mean")
    asked = [int(each.asked.sum(1).float().mean()) for each in passes]
    axes.set_xticks(numbers, [f"{n}\n({count})" for n, count in zip(numbers, asked)])
    axes.set(xlabel="pass (tokens masked before it)", ylabel="confidence of a hand, %")
    axes.set(title=f"{by_hand.shape[1]} hands", ylim=(0, None))
    axes.legend(frameon=False)
    plain_axes(axes)
    maps = np.atleast_1d(right.subplots(len(ids), 1, sharex=True))
    for row, (name, each) in enumerate(zip(ids, maps)):
        shown = np.stack([step.probabilities[row].numpy() for step in passes])
        image = each.imshow(
            shown, vmin=0, vmax=1, aspect="auto", extent=(0, shown.shape[1], len(passes) + 0.5, 0.5)
        )
        again = np.stack([step.asked[row].numpy() for step in passes[1:]]).nonzero()
        each.plot(again[1] + 0.5, again[0] + 2, ".", color="white", markersize=3)
        each.set_yticks(numbers)
        each.set_title(name, fontsize=9, loc="left")
        each.set_ylabel("pass", fontsize=9)
    middles = (np.arange(0, len(MANO_JOINTS), 3) + 0.5) * shown.shape[1] / len(MANO_JOINTS)
    names = ["wrist", *(MANO_JOINTS[joint] for joint in range(3, len(MANO_JOINTS), 3))]
    maps[-1].set_xticks(middles, names, fontsize=9)
    maps[-1].set_xlabel("token, by the joint that it turns")
    right.colorbar(image, ax=list(maps), label="probability")
    return figure


def looks_figure(batch: HandBatch, encoded: EncodedImages, looks: Looks) -> Figure:
    """A row a hand: 2D joints, reference points of all tokens, places sampled for some of them.

    Places are drawn for one token of the wrist and one of each finger's last joint, the larger the
    more they weigh; those outside the image are left out.

    Args:
        batch: the hands, with their photos.
        encoded: of these hands or of more, whose first they are.
        looks: likewise.
    """
    of_joint = np.arange(looks.references.shape[1]) * len(MANO_JOINTS) // looks.references.shape[1]
    parts = [MANO_JOINTS[joint].partition("_")[0] for joint in of_joint]
    colours = [_COLOUR_OF[part] for part in parts]
    last = ["wrist", *(f"{finger}_3" for finger in FINGER_NAMES)]
    chosen = [int(np.flatnonzero(of_joint == MANO_JOINTS.index(name))[0]) for name in last]
    layers = sorted({0, len(looks.places) - 1})
    titles = ["2D joints", "reference points", *(f"sampled, layer {n + 1}" for n in layers)]
    figure = Figure(figsize=(2.6 * len(titles), 2.7 * len(batch)), layout="constrained")
    grid = figure.subplots(len(batch), len(titles), squeeze=False)
    for row, strip in enumerate(grid):
        for axes in strip:
            _photo(axes, batch.images[row])
        _joints(strip[0], batch, encoded, row)
        strip[0].set_ylabel(batch.ids[row], fontsize=9)
        references = looks.references[row].numpy()
        strip[1].scatter(*references.T, c=colours, s=14, edgecolors="white", linewidths=0.4)
        for axes, layer in zip(strip[2:], layers):
            for token in chosen:
                places, weights = looks.places[layer][row, token], looks.weights[layer][row, token]
                sizes = (400 * weights).clamp(min=1).numpy()
                axes.scatter(*places.numpy().T, c=colours[token], s=sizes, alpha=0.5, linewidths=0)
            axes.scatter(*references[chosen].T, c="white", marker="+", s=30, linewidths=1)
    for axes, title in zip(grid[0], titles):
        axes.set_title(title, fontsize=10)
    for part, colour in _COLOUR_OF.items():
        grid[-1][1].plot([], [], "o", color=colour, label=part)
    figure.legend(*grid[-1][1].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def _photo(axes: Axes, image: Tensor) -> None:
    axes.imshow(image.permute(1, 2, 0).numpy(), extent=(0, 1, 1, 0))
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])


def _joints(axes: Axes, batch: HandBatch, encoded: EncodedImages, row: int) -> None:
    """Detected joints as dots, the model's own in the place of the others as rings."""
    found = np.zeros(21, dtype=bool)
    if batch.keypoints is not None:
        found = batch.keypoints.confidence[row].numpy() > 0
        points = batch.keypoints.points[row].numpy()[found] / batch.images.shape[-1]
        axes.scatter(
            points[:, 0], points[:, 1], c=COLOURS[1], s=14, edgecolors="white", linewidths=0.4
        )
    if encoded.own_joints is not None:
        own = (encoded.own_joints.points[row].cpu().numpy()[~found] + 1) / 2
        axes.scatter(own[:, 0], own[:, 1], facecolors="none", edgecolors=COLOURS[1], s=24)
