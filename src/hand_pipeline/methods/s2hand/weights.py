"""S2HAND's weights, and which terms they belong to (Chen et al., CVPR 2021, section 3.5).

    L = w_3D E_3D + w_2D E_2D + w_con E_con
    E_3D = w_geo E_geo + w_photo E_photo + w_regu E_regu
    E_geo = E_loc + w_bone E_ori
    E_photo = E_pixel + w_SSIM E_SSIM
    E_regu = E_beta + w_tex E_tex + w_s E_s + w_J E_J

The copy of the paper we have lacks the numbers. The code has only their products; these eleven are
factors that give all nine products. That the paper splits the products so is our inference.
"""

from pydantic import Field

from hand_pipeline.config import Config


class S2HandWeights(Config):
    """Weights under the paper's symbols; 0 leaves a term out, and what it would cost."""

    w_3d: float = Field(1.0, ge=0, description="of E_3D")
    w_2d: float = Field(0.001, ge=0, description="of E_2D, px of a 224 px image")
    w_con: float = Field(0.0002, ge=0, description="of E_con, px of a 224 px image")
    w_geo: float = Field(0.001, ge=0, description="of E_geo; E_loc is in px of a 224 px image")
    w_photo: float = Field(0.005, ge=0, description="of E_photo; colours from 0 to 1")
    w_regu: float = Field(0.01, ge=0, description="of E_regu; E_beta in squared std. deviations")
    w_bone: float = Field(100.0, ge=0, description="of E_ori within E_geo")
    w_ssim: float = Field(0.2, ge=0, description="of E_SSIM within E_photo; the code's is 0")
    w_tex: float = Field(0.5, ge=0, description="of E_tex within E_regu")
    w_s: float = Field(10.0, ge=0, description="of E_s within E_regu, metres")
    w_j: float = Field(10.0, ge=0, description="of E_J within E_regu, radians")
    w_mrgb: float = Field(
        0.0,
        ge=0,
        description="of the mean colour, colours from 0 to 1; not in the paper; code 1e-3",
    )
    w_laplacian: float = Field(
        0.0,
        ge=0,
        description="of the mesh's Laplacian, metres; not in the paper; the code's is 0.1",
    )
    w_joints_3d: float = Field(
        100.0, ge=0, description="of 3D joints under full supervision, square metres; code: 100"
    )

    def of_terms(self) -> dict[str, float]:
        """What each term counts in the sum, by the term's name."""
        geometry, photo, prior = (
            self.w_3d * part for part in (self.w_geo, self.w_photo, self.w_regu)
        )
        return {
            "joint_location": geometry,
            "bone_direction": geometry * self.w_bone,
            "joints_3d": self.w_joints_3d,
            "pixel": photo,
            "ssim": photo * self.w_ssim,
            "mean_colour": self.w_mrgb,
            "shape": prior,
            "texture": prior * self.w_tex,
            "scale": prior * self.w_s,
            "joint_limits": prior * self.w_j,
            "laplacian": self.w_laplacian,
            "keypoint_2d": self.w_2d,
            "consistency": self.w_con,
        }


GEOMETRY_TERMS = (
    "joint_location", "bone_direction", "joints_3d", "shape", "scale", "joint_limits",
)  # fmt: skip
PICTURE_TERMS = ("pixel", "ssim", "mean_colour")
_ALSO_JOINT = ("texture", "laplacian", "keypoint_2d", "consistency")
STAGE_TERMS: dict[str, tuple[str, ...]] = {
    "2d": ("keypoint_2d",),
    "3d": GEOMETRY_TERMS,
    "joint": (*GEOMETRY_TERMS, *PICTURE_TERMS, *_ALSO_JOINT),
}
"""What each stage of training learns from: the 2D branch alone, geometry without a look at the
photo's colours (the code's 'SSL-shape'), then everything."""
