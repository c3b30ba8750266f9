"""The page that shows an S2HAND run."""

from hand_pipeline.viz.run_page import OPEN_HAND_NOTICE, RunPage

_READING = (
    "Self-supervised models saw photos and the joints that a detector found in them, never a label."
    " Weakly supervised ones saw true 2D joints, fully supervised ones true 3D joints as well; both"
    " learnt only geometry, no colours. The mean hand ignores the photo."
)
_AUC = (
    "AUC of 2D joints: area under the share of joints within 0 to 49 px of the true ones, in a 224"
    " px image. A joint that the detector did not find is within no distance."
)

PAGE = RunPage(
    title="S2HAND: textured hands without labels",
    results="s2hand_table",
    figures={
        "Held-out hands: the photo, the hand over it, from the side, and its texture without"
        " light": "s2hand_textured_picture",
        "Share of aligned vertices within a distance": "s2hand_auc_curves",
        "2D joints: detected, estimated, projected": "s2hand_keypoints_curves",
        "Training, stage by stage": "s2hand_curves",
    },
    tables={"2D joints": "s2hand_keypoints_table"},
    settings=(
        "params:s2hand",
        "params:s2hand_2d",
        "params:s2hand_3d",
        "params:s2hand_joint",
        "params:s2hand_labelled",
    ),
    notes=(OPEN_HAND_NOTICE, _READING, _AUC),
)
