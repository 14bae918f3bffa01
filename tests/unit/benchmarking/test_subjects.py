"""A step and a prediction are measured through the real engine and predictor, data included."""

from __future__ import annotations

import pytest
import torch

from vesselbench.benchmarking.subjects import computing_type, prediction, training_step
from vesselbench.recipes import load_recipe

SMALL = ["configure=[]", "train.augment.crop=32", "train.batch_size=2", "train.device=cpu"]


@pytest.fixture
def recipe(catalogue):
    def make(*overrides: str):
        given = ["model.channels=[4,8]", "model.views=1", *SMALL, *overrides]
        return load_recipe("unet", catalogue, overrides=given)[0]

    return make


@pytest.mark.parametrize("stage", [0, 3])
def test_a_training_step_counts_rounds_data_memory_and_operations(recipe, dataset, catalogue, device, stage):
    figures = training_step(recipe(f"train.zero_stage={stage}"), dataset, catalogue, 3, 2)
    assert (len(figures.seconds), figures.warmup, figures.samples) == (3, 2, 2)
    assert 0 < figures.data_wait_share < 1
    assert figures.peak_memory_bytes > 100e6
    assert [len(rates) for rates in figures.references.values()] == [3, 3]
    assert 0 < figures.utilisation["matmul"] < 1


def test_stages_below_3_compute_the_same_and_stage_3_also_the_gradient_of_the_image(recipe, dataset, catalogue, device):
    """DeepSpeed's hooks of stage 3 hand every input on through an autograd function of their own, which makes torch
    compute the gradient of the first layer's input: work that only a counter shows."""
    found = [training_step(recipe(f"train.zero_stage={stage}"), dataset, catalogue, 1, 1).flops for stage in range(4)]
    assert found[0] == found[1] == found[2] < found[3] < 1.2 * found[0]


def test_operations_grow_with_the_batch(recipe, dataset, catalogue, device):
    one = training_step(recipe("train.batch_size=1"), dataset, catalogue, 1, 1).flops
    two = training_step(recipe("train.batch_size=2"), dataset, catalogue, 1, 1).flops
    assert two == 2 * one


def test_a_prediction_computes_each_view_once(recipe, dataset, catalogue, device):
    one, eight = (prediction(recipe(f"model.views={views}"), dataset, catalogue, 2, 1) for views in (1, 8))
    assert eight.flops == 8 * one.flops > 0
    assert (one.samples, one.what) == (1, "prediction")


def test_references_are_timed_in_the_arithmetic_of_the_recipe(recipe):
    assert computing_type(recipe().train) == torch.float32
    assert computing_type(recipe("train.precision=bf16").train) == torch.bfloat16
    assert computing_type(recipe("train.precision=autocast").train) == torch.bfloat16
