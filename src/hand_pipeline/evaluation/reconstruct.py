"""From a photo to hands in its camera: detect, crop, reconstruct, place back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from scipy.spatial.transform import Rotation
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch, HandHypotheses, Keypoints
from hand_pipeline.data.photos.cropping import Crop, CropConfig, cut_crop
from hand_pipeline.data.photos.detector import Detection, DetectorConfig, Side, without_overlaps
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import mirror_faces
from hand_pipeline.training.method import Reconstructor

_MIRROR = torch.tensor([-1.0, 1.0, 1.0])
_UNDECIDED = 0.5  # a detector is at least as sure of the side that it names


@runtime_checkable
class Detector(Protocol):
    """What finds hands: `data.photos.detector.HandDetector`."""

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
        confidence: 0 to 1; None of a model that gives none.
        joint_confidence: the same for each joint.
        colours: RGB reflectance of the vertices, 0 to 1, as photos store it; None of a model
            that gives none.
        track: its number in a video (`evaluation.tracks`); None in a photo.
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
    track: int | None = None

    @property
    def handedness(self) -> Side:
        """Which hand of the person it is, as reconstructed."""
        return self.detection.handedness

    @property
    def away_percent(self) -> float:
        """Mean distance of the joints from the detected ones, % of the longer side of their box."""
        found = self.detection
        away = np.linalg.norm(self.joints_2d.numpy() - found.landmarks_2d, axis=-1).mean()
        return float(100 * away / (found.box[2:] - found.box[:2]).max())

    def as_json(self) -> dict[str, Any]:
        """What `predict` writes: plain numbers, units in the names where not metres.

        `side_changed` says that the detector took it for the other hand (`evaluation.sides`).
        """
        found = self.detection
        changed = {"side_changed": True} if found.score < _UNDECIDED else {}
        numbered = {} if self.track is None else {"track": self.track}
        return {
            **numbered,
            "handedness": found.handedness,
            **changed,
            "score": round(found.score, 4),
            "box_px": found.box.round(2).tolist(),
            "landmarks_px": found.landmarks_2d.round(2).tolist(),
            **self.hypothesis_json(),
        }

    def hypothesis_json(self) -> dict[str, Any]:
        """The part of `as_json` that comes from the model and not from the detector."""
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
                "pose_axis_angle": _rounded(_axis_angle(self.mano_pose), 6),
                "betas": _rounded(self.betas, 6),
                "translation": _rounded(self.translation, 6),
            },
        }


class LooksConfig(Config):
    """What is done with the detector's joints besides giving them to the model."""

    copies: int = Field(
        0, ge=0, description="of each hand that are looked at, too, for the median of its joints"
    )
    refine: bool = Field(False, description="the surest hand is brought onto the 2D joints")
    both_sides_below: float = Field(
        0.9,
        ge=0,
        le=1,
        description="hands that are left or right with less confidence are reconstructed as both; "
        "the better fit counts",
    )


ONE_LOOK = LooksConfig()


class PhotoReconstructor:
    """Finds and reconstructs the hands of photos.

    Args:
        detector: finds the hands.
        model: in eval mode, on `device`.
        crops: how crops are cut; as in training.
        device: of the model.
        seed: of a model's draws; each photo starts from it, so that its hands do not depend on
            the photos before it.
        looks: how much the detector's joints are used.
    """

    def __init__(
        self,
        detector: Detector,
        model: Reconstructor,
        crops: CropConfig,
        device: torch.device | str = "cpu",
        seed: int = 0,
        looks: LooksConfig = ONE_LOOK,
    ) -> None:
        self.detector, self.model, self.crops, self.device = detector, model, crops, device
        self.seed, self.looks = seed, looks

    def __call__(
        self,
        photo: UInt8[np.ndarray, "height width 3"],
        intrinsics: Float[Tensor, "3 3"],
        name: str = "photo",
    ) -> list[list[PlacedHand]]:
        """For each hand of an RGB photo, surest first, its hypotheses, surest first.

        Args:
            photo: upright.
            intrinsics: its camera; `geometry.camera.default_intrinsics` if unknown.
            name: for messages of the model.
        """
        return self.many([photo], [intrinsics], [name])[0]

    def many(
        self,
        photos: Sequence[UInt8[np.ndarray, "height width 3"]],
        intrinsics: Sequence[Float[Tensor, "3 3"]],
        names: Sequence[str],
    ) -> list[list[list[PlacedHand]]]:
        """The hands of several photos, which go through the model in one batch.

        A model that draws hypotheses gets one photo at a time: draws depend on their batch.

        Args:
            photos: as of a call; of any sizes.
            intrinsics: their cameras.
            names: of the photos.
        """
        each = [without_overlaps(self.detector(p), self.detector.cfg.max_overlap) for p in photos]
        owners = [number for number, hands in enumerate(each) for _ in hands]
        if self.model.sampling is not None and len(set(owners)) > 1:
            return [self(*photo) for photo in zip(photos, intrinsics, names)]
        placed: list[list[list[PlacedHand]]] = [[] for _ in photos]
        seen = [hand for hands in each for hand in hands]
        if not seen:
            return placed
        hands, tried = seen, None
        if any(hand.score < self.looks.both_sides_below for hand in seen):
            from hand_pipeline.evaluation.sides import both_sides  # most photos do without

            tried = both_sides(seen, self.looks.both_sides_below)
            hands = tried.hands
            owners += [owners[number] for number in tried.of]
        crops = [cut_crop(photos[owner], hand, self.crops) for owner, hand in zip(owners, hands)]
        ids = tuple(f"{names[owner]}-{number}" for number, owner in enumerate(owners))
        cameras = [intrinsics[owner] for owner in owners]
        batch = batch_of_crops(ids, crops, cameras, self._keypoints(hands, crops))
        generator = torch.Generator(self.device).manual_seed(self.seed)
        mano = self.model.mano
        with torch.inference_mode():
            found = self.model.predict(batch.to(self.device), generator)
            chosen = tried.better(found, batch.to(self.device)) if tried else range(len(hands))
            if self.looks.refine:
                from hand_pipeline.evaluation.refine import refine_hands  # few ask for it

                found = refine_hands(found, batch.to(self.device), mano)
            wrists = mano.rest_joints(found.betas)[:, 0].cpu().float()
        found, faces = found.to("cpu"), mano.faces.cpu()
        for row in chosen:
            hand = _place(hands[row], found, row, wrists[row], faces, cameras[row])
            placed[owners[row]].append(hand)
        return placed

    def _keypoints(self, hands: Sequence[Detection], crops: Sequence[Crop]) -> Keypoints:
        if not self.looks.copies:
            return keypoints_of(hands, crops)
        from hand_pipeline.data.photos.detection_copies import CopiesConfig, look_again

        copies, found = CopiesConfig(count=self.looks.copies), []
        for hand, crop in zip(hands, crops):
            flat, deep = crop.landmarks_2d, crop.landmarks_3d
            box = np.concatenate([flat.min(0), flat.max(0)])
            first = replace(hand, box=box, landmarks_2d=flat, landmarks_3d=deep)
            rng = np.random.default_rng(self.seed)
            seen = look_again(self.detector, crop.image, first, copies, rng)
            found.append((seen.points, seen.confidence, seen.points_3d))
        return Keypoints(*(torch.from_numpy(np.stack(each)).float() for each in zip(*found)))


def keypoints_of(hands: Sequence[Detection], crops: Sequence[Crop]) -> Keypoints:
    """The detector's landmarks in px of the crops, and in metres.

    Deviation: MaskHand's detector (OpenPose) has a confidence for each joint; MediaPipe has one for
    the hand, which all its joints get, unless copies are looked at, too (`LooksConfig`).
    """
    points = torch.from_numpy(np.stack([crop.landmarks_2d for crop in crops])).float()
    score = torch.tensor([hand.score for hand in hands])[:, None].expand(-1, points.shape[1])
    deep = torch.from_numpy(np.stack([crop.landmarks_3d for crop in crops])).float()
    return Keypoints(points, score, deep)


def batch_of_crops(
    names: tuple[str, ...],
    crops: Sequence[Crop],
    intrinsics: Sequence[Float[Tensor, "3 3"]],
    keypoints: Keypoints,
) -> HandBatch:
    """What a model is given of detected hands.

    Args:
        names: ids of the hands.
        crops: of them.
        intrinsics: cameras of their photos.
        keypoints: px of the crops.
    """
    images = torch.stack([torch.from_numpy(crop.image).permute(2, 0, 1) for crop in crops])
    cameras = [crop_camera(crop, camera) for crop, camera in zip(crops, intrinsics)]
    return HandBatch.unlabelled(names, images.contiguous(), torch.stack(cameras), keypoints)


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
    found: HandHypotheses,
    row: int,
    wrist_at_rest: Float[Tensor, "3"],
    faces: Int[Tensor, "1538 3"],
    intrinsics: Float[Tensor, "3 3"],
) -> list[PlacedHand]:
    """All hypotheses of a hand in the camera of its photo, left ones mirrored back."""
    vertices, joints, pose = (
        value[row].float() for value in (found.vertices, found.joints_3d, found.mano_pose)
    )
    translation = joints[:, 0] - wrist_at_rest
    if hand.handedness == "left":
        vertices, joints, translation = vertices * _MIRROR, joints * _MIRROR, translation * _MIRROR
        pose = _MIRROR[:, None] * pose * _MIRROR
        faces = mirror_faces(faces)
    sure, sure_joints, colours = found.confidence, found.joint_confidence, found.colours
    return [
        PlacedHand(
            detection=hand,
            vertices=vertices[rank],
            faces=faces,
            joints_3d=joints[rank],
            joints_2d=project(joints[rank], intrinsics),
            mano_pose=pose[rank],
            betas=found.betas[row].float(),
            translation=translation[rank],
            confidence=None if sure is None else float(sure[row, rank]),
            joint_confidence=None if sure_joints is None else sure_joints[row, rank].float(),
            colours=None if colours is None else colours[row].float(),
        )
        for rank in range(len(vertices))
    ]


def _axis_angle(rotations: Float[Tensor, "16 3 3"]) -> Float[Tensor, "16 3"]:
    return torch.from_numpy(Rotation.from_matrix(rotations.double().numpy()).as_rotvec())


def _rounded(values: Tensor, digits: int) -> Any:
    return values.double().numpy().round(digits).tolist()
