"""Pseudo labels of photos of letters."""

from pathlib import Path

import numpy as np
import torch
from tests.fixtures.asl_alphabet import write_asl_alphabet

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand.generation import predict_letters


def test_pseudo_labels_are_the_models_predictions_by_letter(tmp_path: Path) -> None:
    write_asl_alphabet(tmp_path, "train", count=58)
    mano = ManoHand()
    manifest = read_hands("asl_alphabet", tmp_path, "train", mano)
    manifest = manifest.select(np.flatnonzero(np.isin(manifest.flags["letter"], ["B", "D"])))

    def predict(batch: HandBatch) -> HandHypotheses:
        grey = batch.images.float().mean((1, 2, 3)).view(-1, 1, 1, 1)
        return HandHypotheses.single(
            batch.ids, batch.intrinsics, batch.joints_2d, batch.joints_3d, batch.vertices,
            torch.eye(3).repeat(len(batch), 16, 1, 1) * grey, batch.betas,
        )  # fmt: skip

    hands = predict_letters(predict, manifest, mano)
    assert hands.letters == ("B", "B", "D", "D")
    assert hands.ids == manifest.ids
    assert len(set(hands.mano_pose[:, 0, 0, 0].tolist())) == 4
