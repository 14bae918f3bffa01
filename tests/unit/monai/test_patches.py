from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vesselbench import Task
from vesselbench.testing import make_batch, tiny_examples
from vesselbench_monai import patches
from vesselbench_monai.collate import Collator
from vesselbench_monai.dynunet import DynUNet, DynUNetConfig
from vesselbench_monai.losses import sample_losses
from vesselbench_monai.patches import PatchModule, pick, views
from vesselbench_monai.unet import UNet, UNetConfig

TASK = Task(("artery", "vein"))
SMALL = UNetConfig(channels=[4, 8], residual_units=0, window=48, overlap=0.5)


def an_example(size=(96, 96), target="vein"):
    (example,) = tiny_examples(1, size)
    return replace(example, sample=replace(example.sample, target=target))


def test_each_sample_learns_and_predicts_the_channel_of_its_target():
    torch.manual_seed(0)
    module = UNet().build(SMALL, TASK)
    examples = [an_example((48, 48), "artery"), an_example((48, 48), "vein")]
    with torch.no_grad():
        maps = module.predict(make_batch(examples, Collator(TASK, 2, 9)))
    assert not torch.allclose(maps[0], maps[1])


@pytest.mark.parametrize("size", [(50, 70), (130, 49)])
def test_windows_of_one_image_go_through_the_net_in_one_call_on_several_processes(size, monkeypatch):
    monkeypatch.setattr(patches, "is_alone", lambda: False)
    module, calls = UNet().build(SMALL, TASK).eval(), []
    module.net.register_forward_hook(lambda net, given, result: calls.append(tuple(given[0].shape)))
    with torch.no_grad():
        (probability,) = module.predict(make_batch([an_example(size)], Collator(TASK, 2, 9)))
    assert probability.shape == size
    assert len(calls) == 1
    assert calls[0][0] > 1
    assert calls[0][2:] == (48, 48)


def test_alone_the_windows_come_in_small_calls_and_the_prediction_is_the_same(monkeypatch):
    module, batch = UNet().build(SMALL, TASK).eval(), make_batch([an_example((130, 260))], Collator(TASK, 2, 9))
    calls = []
    module.net.register_forward_hook(lambda net, given, result: calls.append(given[0].shape[0]))
    with torch.no_grad():
        (chunked,) = module.predict(batch)
        assert len(calls) > 1
        assert max(calls) == patches.WINDOWS
        monkeypatch.setattr(patches, "is_alone", lambda: False)
        assert torch.allclose(chunked, module.predict(batch)[0], atol=1e-6)


def test_where_windows_overlap_each_counts_by_a_gaussian_around_its_centre():
    """An image of 48 x 72 has two windows of 48, at columns 0 and 24; each gives its first pixel everywhere."""

    def constant(image: torch.Tensor) -> torch.Tensor:
        return image[:, :1, :1, :1].expand(-1, 2, *image.shape[2:]).clone()

    batch = make_batch([an_example((48, 72))], Collator(TASK, 2, 9))
    batch.inputs["image"].zero_()
    batch.inputs["image"][0, 0, 0, 0], batch.inputs["image"][0, 0, 0, 24] = -2.0, 1.0
    (probability,) = PatchModule(constant, SMALL).predict(batch)

    bell = np.exp(-((np.arange(48) - 23.5) ** 2) / (2 * 6.0**2))  # sigma: an eighth of the window
    weights = np.maximum(np.outer(bell, bell), 1e-3)  # MONAI's floor
    first, second = np.zeros((48, 72)), np.zeros((48, 72))
    first[:, :48], second[:, 24:] = weights, weights
    logits = (-2.0 * first + 1.0 * second) / (first + second)
    assert probability.numpy() == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)
    row = torch.logit(probability[24]).numpy()
    assert row[24:27] == pytest.approx(np.full(3, -2.0), abs=0.02), "near the first one's centre it alone counts"
    assert row[45:48] == pytest.approx(np.full(3, 1.0), abs=0.02)


def test_an_image_within_the_window_is_predicted_as_it_is():
    module = UNet().build(SMALL, TASK).eval()
    batch = make_batch([an_example((48, 48))], Collator(TASK, 2, 9))
    with torch.no_grad():
        expected = torch.sigmoid(module.net(batch.inputs["image"]))[0, 1]
        assert torch.allclose(module.predict(batch)[0], expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_every_view_comes_back_as_it_was_and_no_two_are_alike(count):
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    pairs = views(count)
    assert len(pairs) == count
    assert all(torch.equal(back(there(image)), image) for there, back in pairs)
    seen = [(tuple(there(image).shape), tuple(there(image).flatten().tolist())) for there, _ in pairs]
    assert len(set(seen)) == count


@pytest.mark.parametrize("turn", [lambda x: np.flip(x, 0), lambda x: np.flip(x, 1), lambda x: np.swapaxes(x, 0, 1)])
def test_with_8_views_a_mirrored_or_transposed_image_gets_the_mirrored_or_transposed_prediction(turn):
    torch.manual_seed(0)
    module = UNet().build(SMALL.model_copy(update={"views": 8}), TASK).eval()
    example = an_example((48, 48))
    turned = replace(
        example, image=np.ascontiguousarray(turn(example.image)), mask=np.ascontiguousarray(turn(example.mask))
    )
    with torch.no_grad():
        plain, other = (module.predict(make_batch([e], Collator(TASK, 2, 9)))[0].numpy() for e in (example, turned))
    assert other == pytest.approx(turn(plain), abs=1e-5)


def test_of_supervised_maps_each_counts_half_as_much_as_the_one_above():
    torch.manual_seed(0)
    config = DynUNetConfig(channels=[4, 4, 4, 4], supervised=2, window=48)
    module = DynUNet().build(config, TASK).train()
    batch = make_batch([an_example((48, 48))], Collator(TASK, 8, 9))
    maps = module.maps(batch.inputs["image"])
    assert len(maps) == 3
    assert {tuple(logits.shape) for logits in maps} == {(1, 2, 48, 48)}
    one = [
        sample_losses(pick(logits, batch), batch.inputs["mask"], batch.inputs["weight"], config)["loss"].item()
        for logits in maps
    ]
    expected = (one[0] + one[1] / 2 + one[2] / 4) / 1.75
    assert module.loss(batch)["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert len(module.eval().maps(batch.inputs["image"])) == 1


def test_the_log_holds_the_terms_of_the_best_resolved_map():
    module = PatchModule(lambda image: [image[:, :2], image[:, 2:4]], SMALL)
    batch = make_batch([an_example((48, 48))], Collator(TASK, 2, 9))
    first = sample_losses(
        pick(batch.inputs["image"][:, :2], batch), batch.inputs["mask"], batch.inputs["weight"], SMALL
    )
    losses = module.loss(batch)
    assert losses["loss_dice"].item() == pytest.approx(first["loss_dice"].item())
    assert losses["loss"].item() != pytest.approx(first["loss"].item())
