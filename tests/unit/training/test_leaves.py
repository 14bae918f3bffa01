from __future__ import annotations

import pytest
import torch
from torch import nn

from vesselbench.plugins import is_trained, load_catalogue
from vesselbench.recipes import model_settings, validate_recipe
from vesselbench.training.engine import Engine
from vesselbench.training.leaves import outermost, reach_back
from vesselbench.types import Task

CATALOGUE = load_catalogue()
MODELS = sorted(name for name, plugin in CATALOGUE.models.items() if is_trained(plugin))


def test_the_inputs_of_a_leaf_get_a_gradient_where_none_has_one():
    image, count = torch.rand(2, 3), torch.tensor([1, 2])
    (opened, same), kwargs = reach_back(nn.Linear(3, 1), (image, count), {"scale": 2})
    assert opened.requires_grad
    assert torch.equal(opened, image)
    assert same is count
    assert kwargs == {"scale": 2}
    assert not image.requires_grad, "the caller's tensor is left alone"


def test_a_leaf_that_is_reached_already_is_left_alone():
    image, hidden = torch.rand(2, 3), torch.rand(2, 3, requires_grad=True)
    assert reach_back(nn.Linear(3, 1), (image, hidden), {}) is None
    with torch.no_grad():
        assert reach_back(nn.Linear(3, 1), (image,), {}) is None


def test_a_leaf_without_a_positional_tensor_is_an_error_that_names_it():
    with pytest.raises(RuntimeError, match="Linear is declared as a leaf of ZeRO-3, but called without a positional"):
        reach_back(nn.Linear(3, 1), (), {"input": torch.rand(2, 3)})


def test_of_nested_blocks_the_outermost_is_gathered():
    inner = nn.Sequential(nn.Linear(1, 1))
    net = nn.ModuleList([nn.ModuleDict({"a": inner}), nn.Sequential(nn.Sequential(nn.Linear(1, 1)))])
    assert outermost(net, (nn.Sequential,)) == [inner, net[1]]
    assert outermost(net, (nn.Conv2d,)) == []


@pytest.mark.parametrize("model", MODELS)
def test_every_model_that_is_trained_has_blocks_to_gather(model):
    recipe = validate_recipe({"name": "x", "model": {"name": model}}, CATALOGUE)
    plugin, config = model_settings(recipe, CATALOGUE)
    assert len(outermost(plugin.build(config, Task(("vessel",))), tuple(plugin.leaf_modules()))) > 4


def test_a_leaf_that_is_fed_with_the_image_learns_as_it_does_at_stage_0(catalogue, dataset, device):
    found = []
    for stage in (0, 3):
        settings = {"steps": 2, "batch_size": 2, "zero_stage": stage, "device": "cpu"}
        values = {"name": "x", "model": {"name": "unet", "channels": [4, 8]}, "train": settings}
        engine = Engine.build(validate_recipe(values, catalogue), dataset.task, catalogue, device)
        steps = [engine.train_step(batches)["loss"].item() for _, batches in engine.train_batches(dataset.of("train"))]
        state = engine.optimizer_state().state()
        moment = state.tensors["exp_avg/net.features.model.0.conv.unit0.conv.weight"].fetch()
        found.append((steps, moment))
        engine.close()
    (losses, plain), (same, split) = found
    assert losses == pytest.approx(same, rel=1e-6)
    torch.testing.assert_close(plain, split, rtol=1e-5, atol=1e-8)
    assert plain.abs().max() > 1e-3
