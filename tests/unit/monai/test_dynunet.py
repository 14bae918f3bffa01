"""nnU-Net's network and recipe (Isensee et al. 2021): what `dynunet` claims to be, from its shipped recipe."""

from __future__ import annotations

import pytest
import torch

from tests.unit.test_configuring import CHASE
from vesselbench import Task
from vesselbench.configuring import configured
from vesselbench.recipes import load_recipe, model_settings
from vesselbench.testing import make_batch, tiny_examples
from vesselbench.training.optimizer import make_optimizer, param_groups
from vesselbench.training.schedule import course
from vesselbench.training.settings import deepspeed_settings
from vesselbench_monai.collate import Collator
from vesselbench_monai.dynunet import DynUNet, DynUNetConfig

TASK = Task(("vessel",))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shipped(catalogue):
    """The recipe as it comes, and the network it builds."""
    recipe = load_recipe("dynunet", catalogue)[0]
    plugin, config = model_settings(recipe, catalogue)
    torch.manual_seed(0)
    return recipe, plugin.build(config, TASK)


def test_the_recipe_trains_by_sgd_with_nesterovs_momentum_clipped_gradients_and_poly_decay_from_the_first_step(shipped):
    recipe, module = shipped
    optimizer = make_optimizer(param_groups(module, recipe.train), recipe.train)
    assert isinstance(optimizer, torch.optim.SGD)
    assert {(group["nesterov"], group["momentum"], group["lr"]) for group in optimizer.param_groups} == {
        (True, 0.99, 0.01)
    }
    assert {group["weight_decay"] for group in optimizer.param_groups} == {3e-5, 0.0}
    assert deepspeed_settings(recipe.train, 0, 4, 1, CPU)["gradient_clipping"] == 12.0
    rates = [course(recipe.train, done, recipe.train.warmup) for done in (0.0, 0.5, 0.9)]
    assert rates == pytest.approx([1.0, 0.5**0.9, 0.1**0.9])


def test_the_recipes_loss_is_dice_and_cross_entropy(shipped):
    _, module = shipped
    assert module.config.loss == "dice_ce"
    assert {"loss_dice", "loss_ce"} <= module.loss(make_batch(tiny_examples(1), Collator(TASK, 16, 9))).keys()


def test_all_convolutions_but_the_last_ones_have_an_affine_instance_norm_and_all_activations_are_leaky(shipped):
    _, module = shipped
    kinds = [type(part) for part in module.net.modules() if not list(part.children())]
    convolutions, norms = kinds.count(torch.nn.Conv2d), kinds.count(torch.nn.InstanceNorm2d)
    heads = 1 + module.config.supervised  # one 1 x 1 convolution for each map
    assert convolutions - heads == norms == 18  # two in each of five levels down and four up
    assert set(kinds) == {torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.InstanceNorm2d, torch.nn.LeakyReLU}
    assert all(part.affine for part in module.net.modules() if isinstance(part, torch.nn.InstanceNorm2d))
    slopes = {part.negative_slope for part in module.net.modules() if isinstance(part, torch.nn.LeakyReLU)}
    assert slopes == {0.01}


def test_deep_supervision_reaches_as_many_lower_levels_as_the_recipe_says(shipped):
    _, module = shipped
    assert module.config.supervised == 2
    maps = module.train().maps(torch.randn(1, 6, 64, 64))
    assert len(maps) == 3
    module.zero_grad()
    module.loss(make_batch(tiny_examples(1), Collator(TASK, 16, 9)))["loss"].backward()
    heads = [part for name, part in module.net.named_modules() if type(part).__name__ == "UnetOutBlock"]
    learned = [head for head in heads if next(head.parameters()).grad is not None]
    assert len(learned) == len({id(head) for head in heads}) == 3
    assert all(next(head.parameters()).grad.abs().sum() > 0 for head in learned)


def test_without_supervised_levels_there_is_one_map_in_training_too():
    module = DynUNet().build(DynUNetConfig(channels=[4, 4, 4], supervised=0), TASK).train()
    assert len(module.maps(torch.randn(1, 6, 32, 32))) == 1


def test_the_rules_leave_the_recipe_its_five_levels_on_chase(catalogue, dataset, monkeypatch):
    """1,942,867 parameters are published with its scores; the rule of `unet` would give four levels and 483,155."""
    monkeypatch.setattr("vesselbench.configuring.measure_traits", lambda *_: CHASE)
    counts = {}
    recipe = load_recipe("dynunet", catalogue)[0]
    for name, chosen in {
        "as it is": recipe,
        "with the rule": recipe.model_copy(update={"configure": [*recipe.configure, "model.channels"]}),
    }.items():
        done, plan = configured(chosen, dataset, catalogue, CPU)
        assert plan is not None
        plugin, config = model_settings(done, catalogue)
        counts[name] = sum(parameter.numel() for parameter in plugin.build(config, TASK).parameters())
    assert counts == {"as it is": 1_942_867, "with the rule": 483_155}
