"""S2HAND's stages: what each trains, from which terms, and which models it starts from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.methods.s2hand.config import S2HandConfig


class TermsConfig(Config):
    """Groups of terms that a stage learns from; for ablations."""

    orientation: bool = Field(True, description="E_ori: directions of bones")
    regularisation: bool = Field(True, description="E_regu: shape, texture, scale, joint limits")
    branch: bool = Field(True, description="the 2D branch's E_2D and E_con, in the joint stage")
    photometric: bool = Field(True, description="E_photo and E_tex, in the joint stage")

    def of(self, method: S2HandConfig) -> S2HandConfig:
        """The method with weights of 0 for the groups left out."""
        zero: dict[str, float] = {}
        if not self.orientation:
            zero |= {"w_bone": 0.0}
        if not self.regularisation:
            zero |= {"w_regu": 0.0}
        if not self.branch:
            zero |= {"w_2d": 0.0, "w_con": 0.0}
        if not self.photometric:
            zero |= {"w_photo": 0.0, "w_mrgb": 0.0, "w_tex": 0.0}
        return method.model_copy(update=zero)


class Training(NamedTuple):
    """How one of the models is trained.

    Attributes:
        stage: what is trained.
        title: in the curves.
        start: models that it starts from, and which of their networks.
        supervision: None: what the configuration says.
    """

    stage: Literal["2d", "3d", "joint"]
    title: str
    start: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    supervision: Literal["weak", "full"] | None = None

    def of(self, method: S2HandConfig, terms: TermsConfig) -> S2HandConfig:
        """The method in this stage, which learns from these terms."""
        supervision = self.supervision or method.supervision
        update = {"stage": self.stage, "supervision": supervision}
        return terms.of(method.model_copy(update=update))


TRAININGS = {
    # stage 1: joints of the picture, and hands whose projected joints lie where the detector saw
    # them
    "s2hand_2d": Training("2d", "2D branch"),
    "s2hand_3d": Training("3d", "geometry"),
    # stage 2: everything together, with colours, light and the photo
    "s2hand": Training(
        "joint",
        "together",
        {"s2hand_2d": ("hourglass",), "s2hand_3d": ("encoder", "geometry")},
    ),
    # geometry from true 2D joints, and from true 2D and 3D joints
    "s2hand_weak": Training("3d", "geometry, true 2D", supervision="weak"),
    "s2hand_full": Training("3d", "geometry, true 3D", supervision="full"),
}
"""How each model is trained."""
