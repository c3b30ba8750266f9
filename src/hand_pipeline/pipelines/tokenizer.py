"""Hand poses as tokens: train VQ-MANO and say what its tokens lose."""

from pathlib import Path

from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.data.pose_set import PosesConfig, PoseSet, open_training_poses, read_poses
from hand_pipeline.evaluation.predict import draw_samples
from hand_pipeline.evaluation.tokens import score_tokens
from hand_pipeline.evaluation.validation import validator_of
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.maskhand.config import VqManoConfig
from hand_pipeline.methods.maskhand.figures import code_use, draw_tokenized
from hand_pipeline.methods.maskhand.vq_mano import VqMano
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import Trained, ValidationConfig, Watch, train
from hand_pipeline.viz.curves import draw_curves
from hand_pipeline.viz.figure import to_image


class TokenizerConfig(Config):
    """Of which poses VQ-MANO learns, and how."""

    poses: PosesConfig
    validation: ValidationConfig = ValidationConfig(samples=4096, batch_size=256)
    method: VqManoConfig
    training: TrainConfig


class TokenizerEvaluationConfig(Config):
    """How a tokenizer is scored."""

    batch_size: int = Field(256, gt=0)
    shown: int = Field(8, gt=0, description="hands in the figure")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


def train_tokenizer(hands: Path, cfg: TokenizerConfig, machine: MachineConfig) -> Trained:
    """Train VQ-MANO."""
    poses = open_training_poses(hands, cfg.poses, cfg.method.mano_model)
    return train(
        "tokenizer", lambda: VqMano(cfg.method), poses, cfg.training, machine,
        {"poses": len(poses), "steps": cfg.training.steps},
        Watch(RecordLogger("tokenizer"), validator_of(poses, cfg.validation, machine)),
    )  # fmt: skip


def evaluate_tokenizer(
    hands: Path, model: Checkpoint, cfg: TokenizerEvaluationConfig, machine: MachineConfig
) -> tuple[dict[str, float], Image.Image, Image.Image]:
    """Held-out poses after the tokens: errors and use of codes; some hands; each code's share."""
    method = restore_as(VqMano, model, "the tokenizer's checkpoint")
    held_out = read_poses("freihand", hands, "evaluation", method.cfg.mano_model)
    poses = PoseSet({"held_out": held_out}, {"held_out": 1.0})
    method.to(machine.device)
    batches = batches_in_order(poses, cfg.batch_size)
    on_device = (batch.to(machine.device) for batch in batches)
    scores = score_tokens(method.tokenizer, method.mano, on_device)
    rows, shown = draw_samples(poses, cfg.shown, cfg.seed)
    errors = scores.per_sample["pa_mpjpe_mm"].to_numpy()
    captions = [f"{poses.ids[row]}: PA-MPJPE {errors[row]:.2f} mm" for row in rows]
    figure = draw_tokenized(method.cpu(), shown, captions)
    return scores.summary, figure, to_image(code_use(scores.uses))


def create_pipeline() -> Pipeline:
    """Labelled hands in, a tokenizer of hand poses and its scores out."""
    return Pipeline(
        [
            Node(
                train_tokenizer,
                ["labelled_hands", "params:tokenizer", "params:machine"],
                ["tokenizer_method", "tokenizer_metrics", "tokenizer_history"],
                name="train_tokenizer",
            ),
            Node(
                draw_curves,
                {"VQ-MANO: hand poses as tokens": "tokenizer_history"},
                "tokenizer_curves",
                name="draw_tokenizer_curves",
            ),
            Node(
                evaluate_tokenizer,
                [
                    "labelled_hands",
                    "tokenizer_method",
                    "params:tokenizer_evaluation",
                    "params:machine",
                ],
                ["tokenizer_scores_metrics", "tokenizer_hands_picture", "tokenizer_codes_picture"],
                name="evaluate_tokenizer",
            ),
        ]
    )
