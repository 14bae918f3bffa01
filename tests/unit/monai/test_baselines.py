from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet as MonaiUNet
from pydantic import ValidationError

from vesselbench import Task
from vesselbench.plugins import load_catalogue
from vesselbench_monai.baseline import Baseline
from vesselbench_monai.dynunet import DynUNetConfig
from vesselbench_monai.flexible_unet import CLASSIFIER, FlexibleUNet, FlexibleUNetConfig
from vesselbench_monai.norms import instance_norms
from vesselbench_monai.settings import CHANNELS
from vesselbench_monai.unet import UNet, UNetConfig

BASELINES = [model for _, model in sorted(load_catalogue("monai").models.items()) if isinstance(model, Baseline)]


@pytest.fixture(scope="module", params=BASELINES, ids=lambda model: model.name)
def built(request):
    config = request.param.Config()
    torch.manual_seed(0)
    return config, request.param.build(config, Task(("artery", "vein")))


def test_no_network_keeps_statistics_of_batches(built):
    _, module = built
    assert not [
        name for name, part in module.named_modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
    ]


def test_each_network_gives_one_map_per_target_at_the_size_of_its_input(built):
    config, module = built
    side = 2 * config.multiple
    with torch.no_grad():
        maps = module.eval().maps(torch.randn(1, CHANNELS, side, side + config.multiple))
    assert maps[0].shape == (1, 2, side, side + config.multiple)


def test_the_smallest_input_that_a_collator_can_make_can_be_trained_on(built):
    config, module = built
    maps = module.train().maps(torch.randn(1, CHANNELS, 2 * config.multiple, 2 * config.multiple))
    assert all(torch.isfinite(logits).all() for logits in maps)


@pytest.mark.parametrize("model", BASELINES, ids=lambda model: model.name)
def test_a_window_that_the_levels_cannot_halve_is_refused(model):
    with pytest.raises(ValidationError, match="must be a multiple of"):
        model.Config(window=model.Config().multiple * 2 + 1)


def test_dynunet_cannot_supervise_more_levels_than_lie_between_first_and_last():
    with pytest.raises(ValidationError, match="more than the 1 levels"):
        DynUNetConfig(channels=[4, 8, 16], supervised=2)


def test_without_a_head_the_unet_is_monais_own_and_with_one_it_has_more_channels_at_full_resolution():
    own, headed = (UNet().network(UNetConfig(head=head), CHANNELS, 1) for head in (None, 4))
    image = torch.randn(1, CHANNELS, 32, 32)
    assert isinstance(own, MonaiUNet)
    assert own(image).shape == headed(image).shape == (1, 1, 32, 32)
    assert headed.features(image).shape == (1, 4, 32, 32)


@pytest.mark.parametrize("encoder", ["efficientnet-b0", "resnet18"])
def test_what_only_a_classifier_uses_is_gone_from_the_encoder(encoder):
    net = FlexibleUNet().network(FlexibleUNetConfig(encoder=encoder), CHANNELS, 1)
    assert not [name for name, _ in net.encoder.named_parameters() if name.split(".")[0] in CLASSIFIER]


def test_every_batch_norm_becomes_an_instance_norm_of_the_same_width():
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Sequential(torch.nn.BatchNorm2d(5, eps=0.1)))
    instance_norms(net)
    inner = net[1][0]
    assert isinstance(net[0], torch.nn.InstanceNorm2d)
    assert isinstance(inner, torch.nn.InstanceNorm2d)
    assert (inner.num_features, inner.eps, inner.affine) == (5, 0.1, True)
