"""From a photo to hands in its camera: detect, crop, reconstruct, place back."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from hand_pipeline.data.batch import HandPrediction, Keypoints
from hand_pipeline.data.cropping import Crop, CropConfig, cut_crop
from hand_pipeline.data.detector import Detection, DetectorConfig, without_overlaps
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand, mirror_faces
from hand_pipeline.geometry.rotation import matrix_to_axis_angle

_MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@runtime_checkable
class HandModel(Protocol):
    """A trained method that reconstructs right hands."""

    crop_scale: Float[Tensor, ""]
    """Side of the crops it was trained on over the longer side of the hands in them."""

    @property
    def mano(self) -> ManoHand:
        """The hand model it predicts the parameters of."""
        ...

    def predict(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        ids: tuple[str, ...],
        keypoints: Keypoints | None = None,
    ) -> HandPrediction:
        """Hands of uint8 crops, in the camera of `intrinsics`; `keypoints` in px of the crops."""
        ...


@runtime_checkable
class Detector(Protocol):
    """What finds hands: `data.detector.HandDetector`."""

    @property
    def cfg(self) -> DetectorConfig:
        """How it looks for them."""
        ...

    def __call__(self, image: UInt8[np.ndarray, "height width 3"], /) -> list[Detection]:
        """The hands of an RGB photo, surest first."""
        ...


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
    """

    detection: Detection
    vertices: Float[Tensor, "778 3"]
    faces: Int[Tensor, "1538 3"]
    joints_3d: Float[Tensor, "21 3"]
    joints_2d: Float[Tensor, "21 2"]
    mano_pose: Float[Tensor, "16 3 3"]
    betas: Float[Tensor, "10"]
    translation: Float[Tensor, "3"]

    def as_json(self) -> dict[str, Any]:
        """What `predict` writes: plain numbers, units in the names where not metres."""
        found = self.detection
        return {
            "handedness": found.handedness,
            "score": round(found.score, 4),
            "box_px": found.box.round(2).tolist(),
            "landmarks_px": found.landmarks_2d.round(2).tolist(),
            "joints_2d_px": _rounded(self.joints_2d, 2),
            "joints_3d": _rounded(self.joints_3d, 6),
            "mano": {
                "side": found.handedness,
                "pose_axis_angle": _rounded(matrix_to_axis_angle(self.mano_pose), 6),
                "betas": _rounded(self.betas, 6),
                "translation": _rounded(self.translation, 6),
            },
        }


class PhotoReconstructor:
    """Finds and reconstructs the hands of photos.

    Args:
        detector: finds the hands.
        model: in eval mode, on `device`.
        crops: how crops are cut; as in training.
        device: of the model.
    """

    def __init__(
        self,
        detector: Detector,
        model: HandModel,
        crops: CropConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        self.detector, self.model, self.crops, self.device = detector, model, crops, device

    def __call__(
        self,
        photo: UInt8[np.ndarray, "height width 3"],
        intrinsics: Float[Tensor, "3 3"],
        name: str = "photo",
    ) -> list[PlacedHand]:
        """The hands of an RGB photo, surest first; an empty list if there is none.

        Args:
            photo: upright.
            intrinsics: its camera; `geometry.camera.default_intrinsics` if unknown.
            name: for messages of the model.
        """
        hands = without_overlaps(self.detector(photo), self.detector.cfg.max_overlap)
        if not hands:
            return []
        crops = [cut_crop(photo, hand, self.crops) for hand in hands]
        images = torch.stack([torch.from_numpy(crop.image).permute(2, 0, 1) for crop in crops])
        cameras = torch.stack([crop_camera(crop, intrinsics) for crop in crops])
        ids = tuple(f"{name}-{number}" for number in range(len(hands)))
        with torch.inference_mode():
            found = self.model.predict(
                images.contiguous().to(self.device),
                cameras.to(self.device),
                ids,
                _keypoints(hands, crops, self.device),
            )
            mano = self.model.mano
            wrist_at_rest = mano.rest_joints(found.betas)[:, 0].cpu().float()
        return [
            _place(hand, found, number, wrist_at_rest[number], mano.faces.cpu(), intrinsics)
            for number, hand in enumerate(hands)
        ]


def _keypoints(hands: list[Detection], crops: list[Crop], device: torch.device | str) -> Keypoints:
    """The detector's landmarks in px of the crops.

    Deviation: MaskHand's detector (OpenPose) has a confidence for each joint; MediaPipe has one for
    the hand, which all its joints get.
    """
    points = torch.from_numpy(np.stack([crop.landmarks_2d for crop in crops])).float()
    score = torch.tensor([hand.score for hand in hands])[:, None].expand(-1, points.shape[1])
    return Keypoints(points.to(device), score.to(device))


def crop_camera(crop: Crop, intrinsics: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    """The camera of a crop, as the model sees it.

    It stands where the photo's stands and looks the same way, so the hand needs no turning back.
    Of a mirrored crop it is the camera of the mirrored world: A K X = (A K D) (D X) with D = diag
    (-1, 1, 1), whose focal lengths are positive again.
    """
    camera = torch.from_numpy(crop.matrix).to(intrinsics) @ intrinsics
    return camera * _MIRROR.to(camera) if crop.mirrored else camera


def _place(
    hand: Detection,
    found: HandPrediction,
    number: int,
    wrist_at_rest: Tensor,
    faces: Tensor,
    intrinsics: Tensor,
) -> PlacedHand:
    vertices = found.vertices[number].cpu().float()
    joints = found.joints_3d[number].cpu().float()
    pose = found.mano_pose[number].cpu().float()
    translation = joints[0] - wrist_at_rest
    if hand.handedness == "left":
        vertices, joints, translation = vertices * _MIRROR, joints * _MIRROR, translation * _MIRROR
        pose = _MIRROR[:, None] * pose * _MIRROR
        faces = mirror_faces(faces)
    return PlacedHand(
        detection=hand,
        vertices=vertices,
        faces=faces,
        joints_3d=joints,
        joints_2d=project(joints, intrinsics),
        mano_pose=pose,
        betas=found.betas[number].cpu().float(),
        translation=translation,
    )


def _rounded(values: Tensor, digits: int) -> Any:
    return values.double().numpy().round(digits).tolist()
