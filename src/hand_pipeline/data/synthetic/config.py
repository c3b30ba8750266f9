"""What synthetic images are to be drawn. All defaults are our choice."""

from pathlib import Path

from pydantic import Field, model_validator

from hand_pipeline.config import Config


class Turns(Config):
    """How hands stand before the camera, in degrees. Defaults: any way a hand is photographed."""

    side_views: float = Field(0.28, ge=0, le=1, description="share seen from the side")
    yaw: float = Field(40.0, ge=0, le=90, description="about the forearm, from palm or back, +-")
    tilt_std: float = Field(24.0, ge=0, description="fingers towards or away from the camera")
    roll_std: float = Field(45.0, ge=0, description="in the image, about fingers up")
    any_roll: float = Field(0.4, ge=0, le=1, description="share turned by any angle instead")
    egocentric: float = Field(
        0.1, ge=0, le=1, description="share seen as by their owner: the back, fingers pointing away"
    )


class Wear(Config):
    """What cameras and files do to images."""

    noise: float = Field(0.8, ge=0, le=1, description="share with a sensor's noise")
    compression: float = Field(
        0.3, ge=0, le=1, description="share scaled down and strongly compressed before"
    )


class SyntheticConfig(Config):
    """A set of synthetic hands. All defaults are our choice, near FreiHAND's images.

    Attributes are described by their fields; lengths of images in pixels.
    """

    num_training: int = Field(2000, ge=0, description="labelled training images")
    num_evaluation: int = Field(400, ge=0, description="labelled evaluation images")
    image_size: int = Field(224, ge=32, le=1024, description="side of the images; FreiHAND: 224")
    seed: int = Field(0, ge=0, description="other seeds give other hands")
    jpeg_quality: int = Field(92, ge=30, le=100)
    supersampling: int = Field(2, ge=1, le=4, description="drawn this many times larger")
    occluder_probability: float = Field(
        0.3, ge=0, le=1, description="share of hands that hold something or are partly hidden"
    )
    background_photos: Path | None = Field(
        None, description="folder of photos to put behind the hands; none: made-up backgrounds"
    )
    real_poses: float = Field(
        0.5, ge=0, le=1, description="share of hands with the pose of a real one, fitted to photos"
    )
    environments: float = Field(
        0.6, ge=0, le=1, description="share lit by a real place's panorama; the rest: made-up lamps"
    )
    fill_min: float = Field(0.45, gt=0.1, le=0.9, description="joints' box, of the image")
    fill_max: float = Field(0.85, gt=0.1, le=0.9)
    focal_min: float = Field(1.4, gt=0.5, description="focal length, in sides of the image")
    focal_max: float = Field(3.2, gt=0.5)
    beta_std: float = Field(0.9, ge=0, description="spread of the shape coefficients")
    beta_limit: float = Field(2.5, ge=0, description="largest shape coefficient")
    turns: Turns = Field(Turns(), description="how hands stand before the camera")
    wear: Wear = Field(Wear(), description="noise and compression")
    jewellery: float = Field(0.12, ge=0, le=1, description="share with a ring or bracelet")
    cut_off: float = Field(0.0, ge=0, le=1, description="share that reaches beyond the image")
    mano_model: Path | None = Field(None, description="converted MANO file; none: the open hand")

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "SyntheticConfig":
        if self.fill_min > self.fill_max or self.focal_min > self.focal_max:
            raise ValueError("fill_min must not exceed fill_max, nor focal_min focal_max")
        return self


class PhotosConfig(Config):
    """Synthetic photos. All defaults are our choice."""

    count: int = Field(600, ge=1)
    width: int = Field(640, ge=64, le=4096)
    height: int = Field(480, ge=64, le=4096)
    seed: int = Field(0, ge=0)
    jpeg_quality: int = Field(92, ge=30, le=100)
    supersampling: int = Field(2, ge=1, le=4)
    left_probability: float = Field(0.4, ge=0, le=1, description="share of left hands")
    two_hands_probability: float = Field(0.2, ge=0, le=1, description="share of photos with two")
    occluder_probability: float = Field(0.2, ge=0, le=1)
    background_photos: Path | None = None
    environments: float = Field(0.6, ge=0, le=1, description="share lit by a real place")
    wear: Wear = Wear()
    fill_min: float = Field(0.25, gt=0.05, le=0.9, description="joints' box, of the shorter side")
    fill_max: float = Field(0.7, gt=0.05, le=0.9)
    mano_model: Path | None = None
