from __future__ import annotations

import torch
from monai.networks.nets import BasicUNetPlusPlus

from vesselbench import Task
from vesselbench.testing import make_batch, tiny_examples
from vesselbench_monai.collate import Collator
from vesselbench_monai.settings import CHANNELS
from vesselbench_monai.unetplusplus import UNetPlusPlus, UNetPlusPlusConfig

CONFIG = UNetPlusPlusConfig(channels=[2, 2, 2, 2, 2, 2], window=64)
TASK = Task(("vessel",))


def outputs_of(module: torch.nn.Module, act) -> dict[str, torch.Tensor]:
    """What each of MONAI's four last convolutions gave meanwhile, by name; final_conv_0_4 ends the deepest path."""
    given = {}
    heads = {name: part for name, part in module.net.named_children() if name.startswith("final_conv")}
    hooks = [
        part.register_forward_hook(lambda _, __, output, name=name: given.update({name: output.clone()}))
        for name, part in heads.items()
    ]
    with torch.no_grad():
        act()
    for hook in hooks:
        hook.remove()
    return given


def test_maps_come_from_the_deepest_path_to_the_shallowest():
    torch.manual_seed(0)
    module = UNetPlusPlus().build(CONFIG, TASK)
    maps = []
    given = outputs_of(module, lambda: maps.extend(module.maps(torch.randn(1, CHANNELS, 64, 64))))
    names = [f"final_conv_0_{depth}" for depth in (4, 3, 2, 1)]
    assert [next(name for name in names if torch.equal(given[name], logits)) for logits in maps] == names


def test_the_prediction_is_that_of_the_deepest_path_alone_where_four_are_supervised():
    torch.manual_seed(0)
    module = UNetPlusPlus().build(CONFIG, TASK).eval()
    batch = make_batch(tiny_examples(1), Collator(TASK, 16, 9))
    predictions = []
    given = outputs_of(module, lambda: predictions.extend(module.predict(batch)))
    assert len(given) == 4
    assert torch.allclose(predictions[0], torch.sigmoid(given["final_conv_0_4"])[0, 0], atol=1e-6)
    assert not torch.allclose(predictions[0], torch.sigmoid(given["final_conv_0_1"])[0, 0], atol=1e-3)


def test_the_network_is_monais_own():
    net = UNetPlusPlus().network(CONFIG, CHANNELS, 1)
    assert isinstance(net, BasicUNetPlusPlus)
    assert net.deep_supervision
