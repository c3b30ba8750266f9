"""Costs: a pretraining's from its records, a model's by the clock."""

import pandas as pd
import pytest
import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.pipelines.costs import CostsConfig, inference_cost, pretraining_cost
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint
from hand_pipeline.training.loop import TrainConfig

MACHINE = MachineConfig(accelerator="cpu")


def test_the_cost_of_a_pretraining_is_that_of_its_usual_step():
    history = pd.DataFrame({"step": [10, 20, 30], "images_per_second": [5.0, 40.0, 32.0]})
    backbone = Checkpoint({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, {})
    training = TrainConfig(steps=900, batch_size=64, lr=1e-3)
    assert pretraining_cost(history, backbone, training) == {
        "backbone_parameters": 17,
        "images_per_second": 32.0,
        "seconds_a_step": 2.0,
        "hours": 0.5,
    }


def test_a_fine_tuned_model_is_counted_and_timed(untrained):
    checkpoint = load_checkpoint(untrained)
    cfg = CostsConfig(batch_size=2, repeats=1, warmup=0)
    found = inference_cost(checkpoint, cfg, MACHINE)
    assert found.keys() == {"parameters", "milliseconds_an_image", "images_per_second"}
    weights = sum(t.numel() for t in checkpoint.tensors.values())
    assert 0.9 * weights < found["parameters"] <= weights  # less the buffers
    assert min(found.values()) > 0


def test_what_makes_no_hands_is_not_timed():
    with pytest.raises(ValueError, match="the fine-tuned model holds"):
        inference_cost(Checkpoint({}, {"method": "another"}), CostsConfig(), MACHINE)
