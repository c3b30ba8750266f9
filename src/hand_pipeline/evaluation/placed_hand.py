"""A reconstructed hand in the camera of its photo, and what is written of it."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from hand_pipeline.data.photos.detector import Detection
from hand_pipeline.geometry.rotation import matrix_to_axis_angle


@dataclass(frozen=True)
class PlacedHand:
    """A reconstructed hand in the camera of its photo; metres.

    The parameters are those of the hand's own side: a left hand's belong to the mirror image of
    the right hand model (`ManoHand(side="left")`), posed first and then translated.

    Attributes:
        detection: where it was found.
        vertices: of the mesh.
        faces: its outward triangles.
        joints_3d: OpenPose order.
        joints_2d: their projection, px of the photo.
        mano_pose: full pose, rotation matrices.
        betas: shape, standard deviations.
        translation: from the hand model's frame to the camera's.
        confidence: 0 to 1; None of a model that gives none.
        joint_confidence: the same for each joint.
        colours: RGB reflectance of the vertices, 0 to 1, as photos store it; None of a model
            that gives none.
    """

    detection: Detection
    vertices: Float[Tensor, "778 3"]
    faces: Int[Tensor, "1538 3"]
    joints_3d: Float[Tensor, "21 3"]
    joints_2d: Float[Tensor, "21 2"]
    mano_pose: Float[Tensor, "16 3 3"]
    betas: Float[Tensor, "10"]
    translation: Float[Tensor, "3"]
    confidence: float | None = None
    joint_confidence: Float[Tensor, "21"] | None = None
    colours: Float[Tensor, "778 3"] | None = None

    def as_json(self) -> dict[str, Any]:
        """What `predict` writes: plain numbers, units in the names where not metres."""
        found = self.detection
        return {
            "handedness": found.handedness,
            "score": round(found.score, 4),
            "box_px": found.box.round(2).tolist(),
            "landmarks_px": found.landmarks_2d.round(2).tolist(),
            **self.hypothesis_json(),
        }

    def hypothesis_json(self) -> dict[str, Any]:
        """The part of `as_json` that the model says, and not the detector."""
        sure: dict[str, Any] = {}
        if self.confidence is not None:
            sure["confidence"] = round(self.confidence, 6)
        if self.joint_confidence is not None:
            sure["joint_confidence"] = _rounded(self.joint_confidence, 4)
        return sure | {
            "joints_2d_px": _rounded(self.joints_2d, 2),
            "joints_3d": _rounded(self.joints_3d, 6),
            "mano": {
                "side": self.detection.handedness,
                "pose_axis_angle": _rounded(matrix_to_axis_angle(self.mano_pose), 6),
                "betas": _rounded(self.betas, 6),
                "translation": _rounded(self.translation, 6),
            },
        }


def _rounded(values: Tensor, digits: int) -> Any:
    return values.double().numpy().round(digits).tolist()
