"""`python -m hand_pipeline generate`: sample hands from texts, or without any."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import torch
from pydantic import ValidationError

if TYPE_CHECKING:
    from hand_pipeline.methods.maskhand.drawn_hands import GeneratedHands
    from hand_pipeline.methods.maskhand.sampling import SamplingConfig
    from hand_pipeline.methods.maskhand.text import TextMaskHand
    from hand_pipeline.training.method import Method

_MOST_SHOWN = 400  # in the figure


@click.command("generate")
@click.option(
    "--checkpoint", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="maskhand_text_method, which reads texts, or maskhand_method, which needs none.",
)  # fmt: skip
@click.option("--text", "texts", multiple=True, help="What the hand shows, e.g. A; repeatable.")
@click.option(
    "--closest", is_flag=True, help="Replace a text that was not learnt by the closest known one."
)
@click.option(
    "--count", default=1, show_default=True, type=click.IntRange(1), help="Hands per text."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option(
    "--temperature", type=click.FloatRange(min=0),
    help="0: the likeliest hand.  [default: the model's, else 1]",
)  # fmt: skip
@click.option(
    "--top-k", type=click.IntRange(1),
    help="Sample from the K likeliest codes.  [default: with a text 5 % of them, else 100]",
)  # fmt: skip
@click.option("--iterations", type=click.IntRange(1), help="Sampling passes.  [default: 5]")
@click.option("--device", default="cpu", show_default=True, help="Where the model runs.")
@click.option("--obj/--no-obj", "meshes", default=True, help="Write .obj and .glb files.")
def generate(
    checkpoint: Path,
    texts: tuple[str, ...],
    closest: bool,
    count: int,
    out: Path,
    seed: int,
    device: str,
    **options: Any,
) -> None:
    """Sample hands for each --text, or unconditionally without any.

    Writes NAME_0000.obj and .glb for each hand (metres, wrist at the origin), the most confident
    first, hands.png, and hands.json with their MANO poses and confidences. The same seed gives the
    same hands.
    """
    from hand_pipeline.methods import load_method

    try:
        method = load_method(checkpoint).to(device)
        meshes = options.pop("meshes")  # the others configure the sampling
        changes = {key: value for key, value in options.items() if value is not None}
        learnt = _learnt(method, texts, closest)
        hands = _draw(method, learnt, count, changes, seed, device)
    except (ValueError, RuntimeError, OSError) as error:  # among them ValidationError
        raise click.ClickException(_said(error)) from error
    names = list(learnt) or ["hand"]
    _write(out, [name for name in names for _ in range(count)], hands, method, meshes, seed)
    for text, name in zip(texts, learnt):
        if text.strip().casefold() != name.casefold():
            click.echo(f"{text!r} was not learnt; {name!r} is the closest word")
    click.echo(f"{len(hands.mano_pose)} hands in {out}")


def _learnt(method: "Method", texts: tuple[str, ...], closest: bool) -> tuple[str, ...]:
    """The known prompt for each text.

    Raises:
        ValueError: the method reads no texts, or one was not learnt and `closest` is off.
    """
    from hand_pipeline.methods.maskhand.text import TextMaskHand

    if not texts:
        return ()
    if not isinstance(method, TextMaskHand):
        raise ValueError(
            f"{type(method).__name__} reads no text; give maskhand_text_method, or leave --text out"
        )
    if not closest:
        return tuple(method.cfg.prompts[row] for row in method.numbers_of(texts))
    return tuple(_closest(method, text) for text in texts)


def _closest(method: "TextMaskHand", text: str) -> str:
    from hand_pipeline.methods.maskhand.text import UnknownPromptError
    from hand_pipeline.methods.maskhand.text_encoder import build_text_encoder

    try:
        (row,) = method.numbers_of([text])
        return method.cfg.prompts[row]
    except UnknownPromptError:
        encoder = build_text_encoder(method.cfg.text)  # the one it was trained with, or an error
        return method.closest(encoder.encode([method.cfg.template.format(text)]))[0]


def _draw(
    method: "Method",
    texts: tuple[str, ...],
    count: int,
    changes: dict[str, float],
    seed: int,
    device: str,
) -> "GeneratedHands":
    """Sampled hands on the CPU, grouped by text, of each the most confident first."""
    from hand_pipeline.methods.maskhand.maskhand import MaskHand
    from hand_pipeline.methods.maskhand.sampling import SamplingConfig
    from hand_pipeline.methods.maskhand.text import TextMaskHand

    generator = torch.Generator(device).manual_seed(seed)
    free = SamplingConfig(temperature=1.0, top_k=100, branches=None)
    if isinstance(method, TextMaskHand):
        sampling = _changed(method.sampling if texts else free, changes)
        return method.generate(texts or None, count, sampling, generator).cpu()
    if isinstance(method, MaskHand):
        return method.generate(count, _changed(free, changes), generator).cpu()
    raise ValueError(
        f"the checkpoint holds {type(method).__name__}, which generates no hands; give that of "
        "MaskHand (maskhand_method) or of MaskHand from text (maskhand_text_method)"
    )


def _changed(sampling: "SamplingConfig", changes: dict[str, float]) -> "SamplingConfig":
    return type(sampling)(**{**sampling.model_dump(), **changes})


def _write(
    out: Path, names: list[str], hands: "GeneratedHands", method: "Method", meshes: bool, seed: int
) -> None:
    from hand_pipeline.evaluation.generated_hands import pose_hands
    from hand_pipeline.evaluation.hand_files import write_json, write_mesh
    from hand_pipeline.geometry.mano import ManoHand
    from hand_pipeline.geometry.rotation import matrix_to_axis_angle
    from hand_pipeline.viz.hands import PREDICTED, hand_sheet
    from hand_pipeline.viz.hypotheses import confidence_text

    mano = method.mano.cpu()
    assert isinstance(mano, ManoHand)  # both methods have one
    vertices = torch.from_numpy(pose_hands(hands.mano_pose, mano)[1])
    seen = dict.fromkeys(names, 0)
    stems = []
    for name in names:
        stems.append(f"{''.join(c if c.isalnum() else '_' for c in name)}_{seen[name]:04d}")
        seen[name] += 1
    if meshes:
        for stem, mesh in zip(stems, vertices):
            write_mesh(out / stem, mesh, mano.faces)
    angles = matrix_to_axis_angle(hands.mano_pose).flatten(1).double().numpy().round(6).tolist()
    sure = hands.confidence.tolist()
    write_json(
        out / "hands.json",
        {
            "conventions": "MANO, right hand, mean shape; axis-angle of wrist and 15 joints, "
            "radians, relative to the flat hand; camera frame +x right, +y down, +z forward",
            "seed": seed,
            "hands": [
                {"name": stem, "text": name, "confidence": each, "pose_axis_angle": row}
                for stem, name, each, row in zip(stems, names, sure, angles)
            ],
        },
    )
    shown = slice(0, _MOST_SHOWN)
    captions = [f"{stem} {confidence_text(each)}" for stem, each in zip(stems, sure)]
    sheet = hand_sheet(
        vertices[shown], mano.faces, captions[shown], [PREDICTED] * len(stems[shown]),
        columns=min(8, len(stems)),
    )  # fmt: skip
    sheet.save(out / "hands.png")


def _said(error: Exception) -> str:
    """The message in one line, without pydantic's links."""
    if isinstance(error, ValidationError):
        return "; ".join(part["msg"].removeprefix("Value error, ") for part in error.errors())
    return str(error)
