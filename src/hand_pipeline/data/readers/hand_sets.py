"""Every labelled data set by name: its reader, its splits, and where to get it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.accounting import with_photos
from hand_pipeline.data.readers.asl_alphabet import read_asl_alphabet
from hand_pipeline.data.readers.coco_wholebody import read_coco_wholebody
from hand_pipeline.data.readers.dexycb import read_dexycb
from hand_pipeline.data.readers.folders import check_root
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.data.readers.h2o3d import read_h2o3d
from hand_pipeline.data.readers.halpe import read_halpe
from hand_pipeline.data.readers.hamer_npz import read_hamer_npz
from hand_pipeline.data.readers.hamer_tars import read_hamer_tars
from hand_pipeline.data.readers.hint import read_hint
from hand_pipeline.data.readers.ho3d import read_ho3d
from hand_pipeline.data.readers.interhand import read_interhand
from hand_pipeline.data.readers.mpii_nzsl import read_mpii_nzsl
from hand_pipeline.data.readers.mtc import read_mtc
from hand_pipeline.data.readers.rhd import read_rhd
from hand_pipeline.data.readers.youtube3d import read_youtube3d
from hand_pipeline.geometry.mano import ManoHand


@dataclass(frozen=True)
class HandSet:
    """A data set.

    Attributes:
        title: as its authors call it.
        reader: called with root, split, the right hand that the set's poses belong to, and
            `options`.
        splits: hands in each split of the published set; None where nobody states the number.
        tips: whose fingertip vertices it uses, a key of `geometry.mano.TIP_VERTICES`.
        url: where to ask for it.
        licence: its terms, in short.
        size: to download, as the authors or others state it.
        options: what tells this set from another one of the same reader.
        finds_gaps: whether its reader takes `partial`, as it must know what is absent early on.
        gaps: why photos may be absent, for the message.
        labelled: whether every split has labels.
    """

    title: str
    reader: Callable[..., HandManifest]
    splits: Mapping[str, int | None]
    tips: str
    url: str
    licence: str
    size: str
    options: Mapping[str, Any] = field(default_factory=dict)
    finds_gaps: bool = False
    gaps: str = ""
    labelled: bool = True

    @property
    def module(self) -> str:
        """Of its reader, below `data/readers`; its fixture writer's has the same name."""
        return self.reader.__module__.rpartition(".")[2]

    def read(self, root: Path, split: str, mano: ManoHand, partial: bool) -> HandManifest:
        """The hands of a split whose photos are there; see `read_hands`."""
        options = {**self.options, "partial": partial} if self.finds_gaps else self.options
        return with_photos(self.reader(root, split, mano, **options), partial, self.gaps)


_RESEARCH = "research only, no commercial use"
_HO3D = "academic, non-commercial, no redistribution"
HAND_SETS: Mapping[str, HandSet] = MappingProxyType(
    {
        "freihand": HandSet(
            title="FreiHAND v2",
            reader=read_freihand,
            finds_gaps=True,
            splits={"training": 130_240, "evaluation": 3_960},
            tips="freihand",
            url="https://lmb.informatik.uni-freiburg.de/projects/freihand/",
            licence=_RESEARCH,
            size="3.7 GB, and 0.7 GB of evaluation labels",
        ),
        "ho3d_v2": HandSet(
            title="HO-3D v2",
            reader=read_ho3d,
            finds_gaps=True,
            splits={"train": 66_034, "evaluation": 11_524},
            tips="ho3d",
            url="https://github.com/shreyashampali/ho3d",
            licence=_HO3D,
            size="not stated",
            options={"version": "v2"},
        ),
        "ho3d_v3": HandSet(
            title="HO-3D v3",
            reader=read_ho3d,
            finds_gaps=True,
            splits={"train": 83_325, "evaluation": 20_137},
            tips="ho3d",
            url="https://github.com/shreyashampali/ho3d",
            licence=_HO3D,
            size="not stated",
            options={"version": "v3"},
        ),
        "h2o3d": HandSet(
            title="H2O-3D v1",
            reader=read_h2o3d,
            finds_gaps=True,
            splits={"train": 121_996, "evaluation": 30_684},
            tips="h2o3d",
            url="https://github.com/shreyashampali/ho3d",
            licence=_HO3D,
            size="not stated",
        ),
        "dexycb": HandSet(
            title="DexYCB",
            reader=read_dexycb,
            finds_gaps=True,
            splits={
                f"{setup}_{part}": 406_888 if (setup, part) == ("s0", "train") else None
                for setup in ("s0", "s1", "s2", "s3")
                for part in ("train", "val", "test")
            },
            tips="dexycb",
            url="https://dex-ycb.github.io",
            licence="CC BY-NC 4.0",
            size="about 119 GB",
        ),
        "interhand": HandSet(
            title="InterHand2.6M v1.0",
            reader=read_interhand,
            splits={"train": None, "val": None, "test": None},
            tips="interhand",
            url="https://mks0601.github.io/InterHand2.6M/",
            licence="CC BY-NC 4.0",
            size="not stated",
        ),
        "mtc": HandSet(
            title="Panoptic MTC (a4_release)",
            reader=read_mtc,
            splits={"training": None, "testing": None},
            tips="mano",
            url="http://domedb.perception.cs.cmu.edu/mtc.html",
            licence=_RESEARCH,
            size="about 270 GB",
        ),
        "rhd": HandSet(
            title="Rendered Hand Pose (RHD v1.1)",
            reader=read_rhd,
            splits={"training": None, "evaluation": None},
            tips="mano",
            url="https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
            licence=_RESEARCH,
            size="not stated",
        ),
        "coco_wholebody": HandSet(
            title="COCO-WholeBody v1.0, hands",
            reader=read_coco_wholebody,
            splits={"train": None, "val": None},
            tips="mano",
            url="https://github.com/jin-s13/COCO-WholeBody",
            licence="annotations CC BY-NC 4.0, images Flickr's terms",
            size="19 GB of images (COCO train2017, val2017)",
        ),
        "halpe": HandSet(
            title="Halpe-FullBody, hands",
            reader=read_halpe,
            splits={"train": None, "val": None},
            tips="mano",
            url="https://github.com/Fang-Haoshu/Halpe-FullBody",
            licence="none stated: treat as research only",
            size="not stated (images of HICO-DET and COCO val2017)",
        ),
        "mpii_nzsl": HandSet(
            title="Panoptic HandDB, MPII and NZSL",
            reader=read_mpii_nzsl,
            splits={
                "manual_train": 1_912,
                "manual_test": 846,
                "synth1": 6_546,
                "synth2": 3_243,
                "synth3": 2_348,
                "synth4": 2_124,
                "synth": 14_261,
                "hand143": 14_817,
            },
            tips="mano",
            url="http://domedb.perception.cs.cmu.edu/handdb.html",
            licence=_RESEARCH,
            size="not stated",
        ),
        "youtube3d": HandSet(
            title="YouTube3DHands",
            reader=read_youtube3d,
            gaps=" (the frames are those of public videos, of which some are gone)",
            splits={"train": 47_125, "val": 1_525, "test": 1_525},
            tips="mano",
            url="https://github.com/arielai/youtube_3d_hands",
            licence="academics only, request form",
            size="0.8 GB of labels; frames from public videos",
        ),
        "hint": HandSet(
            title="HInt (NewDays, VISOR, Ego4D)",
            reader=read_hint,
            gaps=" (HInt_annotation_partial.zip lacks Ego4D's: get access to Ego4D and fetch them "
            "with HInt's prep_ego4d.py)",
            splits={
                f"{part}_{source}": count
                for part, counts in {
                    "TRAIN": (9_666, 2_780, 11_652),
                    "VAL": (550, 625, 514),
                    "TEST": (1_754, 1_906, 1_714),
                }.items()
                for source, count in zip(("newdays_img", "epick_img", "ego4d_img"), counts)
            }
            | {"VAL_ego4d_seq": 2_320, "TEST_ego4d_seq": 6_953},
            tips="mano",
            url="https://github.com/ddshan/hint",
            licence="annotations MIT; images keep their sources' terms",
            size="not stated",
        ),
        "asl_alphabet": HandSet(
            title="ASL alphabet",
            reader=read_asl_alphabet,
            finds_gaps=True,
            labelled=False,
            splits={"train": 87_000, "test": 28},
            tips="mano",
            url="https://www.kaggle.com/datasets/grassknoted/asl-alphabet",
            licence="GPL-2, as its page states",
            size="not stated",
        ),
        "hamer_npz": HandSet(
            title="HaMeR's evaluation files",
            reader=read_hamer_npz,
            splits={
                "freihand_val": 3_960,
                "ho3d_val": 11_524,
                **{
                    f"TEST_{source}_img_{joints}": count
                    for source, count in (("newdays", 1_754), ("epick", 1_906), ("ego4d", 1_714))
                    for joints in ("all", "vis", "occ")
                },
            },
            tips="mano",
            url="https://github.com/geopavlakos/hamer",
            licence="of the data sets they were made from",
            size="not stated",
        ),
        "hamer_tars": HandSet(
            title="HaMeR's training tars",
            reader=read_hamer_tars,
            finds_gaps=True,
            splits={"train": None},
            tips="mano",
            url="https://github.com/geopavlakos/hamer",
            licence="of the data sets they were made from",
            size="not stated",
        ),
    }
)


def hand_of(name: str, mano_model: Path | None = None) -> ManoHand:
    """The right hand that a data set's labels belong to, with its fingertips.

    Args:
        name: of the set; one that is not known has the true tips.
        mano_model: converted MANO file; None is the open hand.
    """
    return ManoHand(mano_model, tips=HAND_SETS[name].tips if name in HAND_SETS else "mano")


def read_hands(
    name: str, root: Path | str, split: str, mano: ManoHand, partial: bool = False
) -> HandManifest:
    """The hands of one split of a data set.

    Args:
        name: key of `HAND_SETS`.
        root: the set's folder.
        split: one of its splits.
        mano: the right hand that the set's poses belong to.
        partial: go on with what is there where the copy lacks photos or other parts that the set
            lists; what is absent is a warning in the log.

    Raises:
        AbsentError: the copy lacks a part of the set, and `partial` does not allow it.
        DataSetError: an unknown set or split, a folder that is not the set's, or broken labels.
    """
    if name not in HAND_SETS:
        raise DataSetError(f"unknown data set {name!r}; known: {', '.join(HAND_SETS)}")
    known, root = HAND_SETS[name], Path(root)
    if split not in known.splits:
        raise DataSetError(
            f"{known.title} has no split {split!r}; it has {', '.join(known.splits)}"
        )
    check_root(root, known.module, known.title, known.splits)
    hands = known.read(root, split, copy.deepcopy(mano).cpu(), partial)  # a model's may be on a GPU
    flags = (hands.has_joints_2d, hands.has_joints_3d, hands.has_mano, hands.has_intrinsics)
    if known.labelled and not any(there.any() for there in flags):
        raise DataSetError(
            f"{root}: the label files of {known.title} {split} label nothing: {len(hands)} hands, "
            "none with a joint, a pose or a camera; are they of this set and release?"
        )
    return hands
