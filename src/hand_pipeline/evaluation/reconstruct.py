"""From a photo to hands in its camera: detect, crop, reconstruct, place back."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from hand_pipeline.data.batch import HandHypotheses, HandPrediction, Keypoints
from hand_pipeline.data.photos.cropping import Crop, CropConfig, cut_crop
from hand_pipeline.data.photos.detector import Detection, DetectorConfig, without_overlaps
from hand_pipeline.evaluation.placed_hand import PlacedHand
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand, mirror_faces
from hand_pipeline.models.token_sampling import SamplingConfig

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
class SampledConfig(Protocol):
    """Configuration of a method that draws its hands."""

    @property
    def sampling(self) -> SamplingConfig:
        """How it draws unless told otherwise."""
        ...


@runtime_checkable
class HypothesesModel(HandModel, Protocol):
    """A trained method that gives several right hands for one image, with a confidence each."""

    @property
    def cfg(self) -> SampledConfig:
        """Its configuration."""
        ...

    def hypotheses(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        ids: tuple[str, ...],
        keypoints: Keypoints | None = None,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> HandHypotheses:
        """Ranked hands, the surest first; arguments as of `predict`.

        `sampling`: None: the model's own. `generator`: of the model's device; None: torch's.
        """
        ...


@runtime_checkable
class HandColours(Protocol):
    """What `TexturedModel.textured` gives."""

    @property
    def colours(self) -> Float[Tensor, "batch 778 3"]:
        """RGB reflectance of the vertices, 0 to 1."""
        ...


@runtime_checkable
class TexturedModel(HandModel, Protocol):
    """A trained method that gives right hands their colours."""

    def textured(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
    ) -> HandColours:
        """Colours of the hands that `predict` sees in the same images."""
        ...


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


class PhotoReconstructor:
    """Finds and reconstructs the hands of photos.

    Args:
        detector: finds the hands.
        model: in eval mode, on `device`.
        crops: how crops are cut; as in training.
        device: of the model.
        seed: of the draws of a `HypothesesModel`; each photo starts from it, so that its hands do
            not depend on the photos before it.
    """

    def __init__(
        self,
        detector: Detector,
        model: HandModel,
        crops: CropConfig,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        self.detector, self.model, self.crops, self.device = detector, model, crops, device
        self.seed = seed

    def __call__(
        self,
        photo: UInt8[np.ndarray, "height width 3"],
        intrinsics: Float[Tensor, "3 3"],
        name: str = "photo",
        sampling: SamplingConfig | None = None,
    ) -> list[PlacedHand]:
        """The hands of an RGB photo, surest first; an empty list if there is none.

        Of several hypotheses of a hand it is the surest; arguments as of `hypotheses`.
        """
        return [ranked[0] for ranked in self.hypotheses(photo, intrinsics, name, sampling)]

    def hypotheses(
        self,
        photo: UInt8[np.ndarray, "height width 3"],
        intrinsics: Float[Tensor, "3 3"],
        name: str = "photo",
        sampling: SamplingConfig | None = None,
    ) -> list[list[PlacedHand]]:
        """For each hand of an RGB photo its hypotheses, the surest first.

        A model that is no `HypothesesModel` gives one of each hand, without a confidence.

        Args:
            photo: upright.
            intrinsics: its camera; `geometry.camera.default_intrinsics` if unknown.
            name: for messages of the model.
            sampling: how a `HypothesesModel` draws; None: as it is configured.

        Raises:
            TypeError: `sampling` for a model that draws nothing.
        """
        if sampling is not None and not isinstance(self.model, HypothesesModel):
            raise TypeError(f"{type(self.model).__name__} draws no hypotheses: give no sampling")
        hands = without_overlaps(self.detector(photo), self.detector.cfg.max_overlap)
        if not hands:
            return []
        crops = [cut_crop(photo, hand, self.crops) for hand in hands]
        images = torch.stack([torch.from_numpy(crop.image).permute(2, 0, 1) for crop in crops])
        cameras = torch.stack([crop_camera(crop, intrinsics) for crop in crops])
        ids = tuple(f"{name}-{number}" for number in range(len(hands)))
        with torch.inference_mode():
            found = self._reconstruct(
                images.contiguous().to(self.device),
                cameras.to(self.device),
                ids,
                _keypoints(hands, crops, self.device),
                sampling,
            )
        faces = self.model.mano.faces.cpu()
        return [_place(hand, of_hand, faces, intrinsics) for hand, of_hand in zip(hands, found)]

    def _reconstruct(
        self,
        images: Tensor,
        cameras: Tensor,
        ids: tuple[str, ...],
        keypoints: Keypoints,
        sampling: SamplingConfig | None,
    ) -> list["_Found"]:
        if isinstance(self.model, HypothesesModel):
            generator = torch.Generator(self.device).manual_seed(self.seed)
            several = self.model.hypotheses(images, cameras, ids, keypoints, sampling, generator)
            hands = [several.vertices, several.joints_3d, several.mano_pose]
            sure = [several.confidence, several.joint_confidence]
            betas = several.betas
        else:
            one = self.model.predict(images, cameras, ids, keypoints)
            hands = [value[:, None] for value in (one.vertices, one.joints_3d, one.mano_pose)]
            sure, betas = [], one.betas
        wrist = self.model.mano.rest_joints(betas)[:, 0]
        on_cpu = [value.cpu().float() for value in (*hands, betas, wrist, *sure)]
        found = [_Found(*of_hand) for of_hand in zip(*on_cpu)]
        if isinstance(self.model, TexturedModel):
            colours = self.model.textured(images, cameras).colours.cpu().float()
            found = [one._replace(colours=own) for one, own in zip(found, colours)]
        return found


class _Found(NamedTuple):
    """What a model says about one crop, in the camera of the crop."""

    vertices: Float[Tensor, "hypotheses 778 3"]
    joints_3d: Float[Tensor, "hypotheses 21 3"]
    mano_pose: Float[Tensor, "hypotheses 16 3 3"]
    betas: Float[Tensor, "10"]
    wrist_at_rest: Float[Tensor, "3"]
    confidence: Float[Tensor, " hypotheses"] | None = None
    joint_confidence: Float[Tensor, "hypotheses 21"] | None = None
    colours: Float[Tensor, "778 3"] | None = None


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


def _place(hand: Detection, found: _Found, faces: Tensor, intrinsics: Tensor) -> list[PlacedHand]:
    """All hypotheses of a hand in the camera of its photo, left ones mirrored back."""
    vertices, joints, pose = found.vertices, found.joints_3d, found.mano_pose
    translation = joints[:, 0] - found.wrist_at_rest
    if hand.handedness == "left":
        vertices, joints, translation = vertices * _MIRROR, joints * _MIRROR, translation * _MIRROR
        pose = _MIRROR[:, None] * pose * _MIRROR
        faces = mirror_faces(faces)
    sure, sure_joints = found.confidence, found.joint_confidence
    return [
        PlacedHand(
            detection=hand,
            vertices=vertices[rank],
            faces=faces,
            joints_3d=joints[rank],
            joints_2d=project(joints[rank], intrinsics),
            mano_pose=pose[rank],
            betas=found.betas,
            translation=translation[rank],
            confidence=None if sure is None else float(sure[rank]),
            joint_confidence=None if sure_joints is None else sure_joints[rank],
            colours=found.colours,
        )
        for rank in range(len(vertices))
    ]
