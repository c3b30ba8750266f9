"""Every method with a golden, small, and a batch for it. Nothing here is torch's normal draw."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from tests.golden.golden import in_float64
from torch import Tensor, nn

from hand_pipeline.data.batch import (
    Batch,
    HandBatch,
    ImageBatch,
    Keypoints,
    PoseBatch,
    PromptedPoseBatch,
)
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.keypoint_probe import KeypointProbe, KeypointProbeConfig
from hand_pipeline.methods.maskhand.config import (
    MaskHandConfig,
    PoseTokenizerConfig,
    ShapeCameraHeadConfig,
    TextMaskHandConfig,
    VqManoConfig,
)
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.pose_tokenizer import PoseTokenizer
from hand_pipeline.methods.maskhand.text import TextMaskHand
from hand_pipeline.methods.maskhand.vq_mano import VqMano
from hand_pipeline.methods.peclr.peclr import PeCLR, PeclrConfig
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.methods.self_distillation.config import HandMIMConfig, IbotConfig
from hand_pipeline.methods.self_distillation.handmim import HandMIM
from hand_pipeline.methods.self_distillation.ibot import Ibot
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.method import Method

SIZE = 32
VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=SIZE, patch_size=8, depth=2, embed_dim=48, num_heads=3,
    drop_path=0.0,
)  # fmt: skip
TOKENIZER = PoseTokenizerConfig(num_tokens=16, num_codes=24, code_dim=8, width=16)


class Start(NamedTuple):
    """A method in training mode and what its first steps see."""

    method: Method
    batch: Batch
    steps: int = 2


def pictures(count: int, side: int) -> Tensor:
    """Random colours in squares of eight pixels, in whole numbers."""
    size = (count, 3, side // 8, side // 8)
    coarse = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return torch.from_numpy(coarse.repeat(8, axis=2).repeat(8, axis=3))


def crops(side: int) -> ImageBatch:
    """Eight pictures without labels."""
    return ImageBatch(tuple(f"crop{i}" for i in range(8)), pictures(8, side))


def hands(side: int = 48, focal: float = 90.0) -> HandBatch:
    """Four hands with all labels and detected keypoints, in pictures that do not show them."""
    mano, rng = ManoHand().double(), np.random.default_rng(0)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape))

    pose, betas = mano.full_pose(0.3 * normal(4, 48), False), normal(4, 10)
    hand = mano(pose, betas, torch.tensor([0.0, 0.0, 0.6]) + 0.02 * normal(4, 3))
    middle = side / 2
    intrinsics = torch.tensor([[focal, 0, middle], [0, focal, middle], [0, 0, 1]]).repeat(4, 1, 1)
    joints_2d = project(hand.joints, intrinsics)
    yes = torch.ones(4, dtype=torch.bool)
    return HandBatch(
        ids=tuple("abcd"),
        images=pictures(4, side),
        intrinsics=intrinsics,
        joints_2d=joints_2d,
        joints_3d=hand.joints,
        vertices=hand.vertices,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=yes[:, None].repeat(1, 21),
        has_joints_3d=yes[:, None].repeat(1, 21),
        has_mano=yes,
        has_vertices=yes,
        keypoints=Keypoints(
            joints_2d + normal(4, 21, 2),
            torch.from_numpy(rng.uniform(0.5, 1, (4, 21))),
        ),
    )


def poses(count: int = 8) -> PoseBatch:
    """Hands of any shape, without pictures."""
    rng = np.random.default_rng(0)
    turns = torch.from_numpy(0.4 * rng.standard_normal((count, 48)))
    betas = torch.from_numpy(rng.standard_normal((count, 10)))
    ids = tuple(f"pose{i}" for i in range(count))
    return PoseBatch(ids, ManoHand().double().full_pose(turns, False), betas)


def handmim() -> Start:
    cfg = HandMIMConfig(head_hidden_dim=64, decoder_width=16)
    vit = VIT.model_copy(update={"image_size": 64, "patch_size": 16, "depth": 4})
    method = HandMIM(cfg, vit, ViewConfig(image_size=64))
    method.total_steps = 100
    return Start(method, crops(80))


def ibot() -> Start:
    cfg = IbotConfig(head_hidden_dim=64, latent_dim=32, prototypes=64)
    method = Ibot(cfg, VIT, ViewConfig(image_size=SIZE))
    method.total_steps = 400
    return Start(method, crops(40))


def peclr() -> Start:
    cfg = PeclrConfig(head_hidden_dim=32, latent_dim=16)
    return Start(PeCLR(cfg, VIT, ViewConfig(image_size=SIZE)), crops(40))


def keypoint_probe() -> Start:
    augmentation = HandAugmentationConfig(image_size=SIZE)
    return Start(KeypointProbe(KeypointProbeConfig(), VIT, augmentation), hands())


def pymaf() -> Start:
    """Without dropout: its draws come from a library that not every processor has."""
    cfg = PyMAFConfig(pyramid_channels=16, regressor_width=64, regressor_dropout=0)
    return Start(PyMAF(cfg, VIT, HandAugmentationConfig(image_size=SIZE)), hands())


def s2hand() -> Start:
    cfg = S2HandConfig(
        hourglass=HourglassConfig(width=16, depth=2, blocks=1), supervision="full",
        w_mrgb=1e-3, w_laplacian=0.1,
    )  # fmt: skip
    encoder = EfficientNetConfig(name="mobilenetv2_035", image_size=64)
    unchanged = HandAugmentationConfig(
        image_size=64, scale=0, translation=0, rotation_deg=0, brightness=0, contrast=0,
        saturation=0, hue=0, padding="zeros",
    )  # fmt: skip
    return Start(S2Hand(cfg, encoder, unchanged), hands(64, 130.0), steps=1)


def vq_mano() -> Start:
    """Fast and many codes, three steps: the second replaces one, which the third shows."""
    cfg = VqManoConfig(**{**TOKENIZER.model_dump(), "codebook_decay": 0.75, "num_codes": 40})
    method = VqMano(cfg)
    spread_zeros(method)
    return Start(method, poses(), steps=3)


def maskhand() -> Start:
    """Some hands without photo, some without keypoints; without dropout, see `pymaf`."""
    head = ShapeCameraHeadConfig(width=32, depth=1, heads=2, head_width=16, feedforward_width=32)
    cfg = MaskHandConfig(
        width=32, heads=2, layers=2, feedforward_width=64, dropout=0, head=head,
        tokenizer=TOKENIZER, condition_dropout=0.3, keypoint_dropout=0.3, corruption=0.3,
        visible_noise=0.2, weight_local_vertices=1.0,
    )  # fmt: skip
    method = MaskHand(cfg, VIT, HandAugmentationConfig(image_size=SIZE))
    spread_zeros(method)
    draw_codes(method.tokenizer)
    return Start(method, hands())


def maskhand_text() -> Start:
    """Drawn features: the encoder's are in float32. Without dropout, see `pymaf`."""
    cfg = TextMaskHandConfig(
        prompts=("A", "L", "Y"), feature_width=16, width=32, heads=2, layers=2,
        feedforward_width=64, dropout=0, tokenizer=TOKENIZER, condition_dropout=0.3,
        corruption=0.3, weight_pose=1.0, weight_vertices=10.0,
    )  # fmt: skip
    method = TextMaskHand(cfg)
    spread_zeros(method)
    draw_codes(method.tokenizer)
    method.set_features(torch.from_numpy(np.random.default_rng(0).standard_normal((3, 16))))
    hand = poses()
    return Start(method, PromptedPoseBatch(hand.ids, torch.arange(8) % 3, hand.mano_pose))


def spread_zeros(method: Method) -> None:
    """Give matrices of zeros a width, so that `set_parameters` draws them: zeros hide a branch."""
    for parameter in method.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=2**-4)


def draw_codes(tokenizer: PoseTokenizer) -> None:
    """A codebook that no latent of the golden lies in the middle of; `test_golden` measures it."""
    codes = tokenizer.codebook.embeddings
    codes.copy_(torch.from_numpy(np.random.default_rng(5).standard_normal(tuple(codes.shape))))


METHODS: dict[str, Callable[[], Start]] = {
    build.__name__: build
    for build in (
        handmim,
        ibot,
        peclr,
        keypoint_probe,
        pymaf,
        s2hand,
        vq_mano,
        maskhand,
        maskhand_text,
    )
}


def start(name: str) -> Start:
    """A method of `METHODS`, built from torch's seed 0, and its batch; both in float64."""
    torch.manual_seed(0)
    with in_float64():
        built = METHODS[name]()
        return built._replace(method=built.method.double())  # also what was read from files
