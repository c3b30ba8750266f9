"""What each stage of S2HAND learns from."""

from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.stages import TermsConfig

METHOD = S2HandConfig(hourglass=HourglassConfig(width=8, depth=1, blocks=1))


def test_groups_of_terms_can_be_left_out():
    def terms(stage, **groups):
        method = METHOD.model_copy(update={"stage": stage})
        return set(TermsConfig(**groups).of(method).active_terms())

    geometry = {"joint_location", "bone_direction"}
    prior = {"shape", "scale", "joint_limits"}
    branch = {"keypoint_2d", "heatmap", "consistency"}
    photo = {"pixel", "ssim", "texture"}
    assert terms("joint") == geometry | prior | branch | photo
    assert terms("joint", photometric=False) == geometry | prior | branch
    assert terms("joint", photometric=False, branch=False) == geometry | prior
    nothing = {"photometric": False, "branch": False, "regularisation": False}
    assert terms("joint", **nothing) == geometry
    assert terms("3d", regularisation=False) == geometry
    assert terms("3d", orientation=False) == {"joint_location"} | prior  # the paper's baseline
