from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vesselbench import Task
from vesselbench.testing import make_batch, tiny_examples
from vesselbench_monai import unet
from vesselbench_monai.collate import CHANNELS, Collator, channels_of
from vesselbench_monai.models import UNetConfig
from vesselbench_monai.unet import UNetModule, pixel_mean, soft_dice_loss

TASK = Task(("artery", "vein"))
SMALL = UNetConfig(channels=[4, 8], residual_units=0, window=48, overlap=0.5)


def an_example(size=(96, 96), target="vein"):
    (example,) = tiny_examples(1, size)
    return replace(example, sample=replace(example.sample, target=target))


def test_a_crop_looks_like_that_part_of_the_whole_image():
    example = an_example()
    part = replace(example, image=example.image[20:80, 30:90], mask=example.mask[20:80, 30:90])
    inner = channels_of(part, 9)[:, 8:-8, 8:-8]
    assert inner == pytest.approx(channels_of(example, 9)[:, 28:72, 38:82], abs=1e-4)


def test_local_contrast_does_not_see_uneven_light():
    example = an_example()
    ramp = np.linspace(0, 60, 96).astype(np.float32)[None, :, None]
    lit = replace(example, image=(example.image * 0.5 + ramp).astype(np.uint8))
    plain = replace(example, image=(example.image * 0.5).astype(np.uint8))
    global_change = np.abs(channels_of(lit, 9)[:3] - channels_of(plain, 9)[:3]).mean()
    local_change = np.abs(channels_of(lit, 9)[3:] - channels_of(plain, 9)[3:]).mean()
    assert global_change > 0.2
    assert local_change < 0.2


def test_pixels_outside_the_field_of_view_change_nothing_inside():
    example = an_example()
    fov = np.zeros((96, 96), bool)
    fov[:, :60] = True
    other = example.image.copy()
    other[:, 60:] = 255
    first = channels_of(replace(example, fov=fov), 9)
    second = channels_of(replace(example, fov=fov, image=other), 9)
    assert first[3:, :, :60] == pytest.approx(second[3:, :, :60], abs=1e-4)
    assert not first[3:, :, 60:].any()


def test_a_flat_image_stays_flat():
    example = an_example()
    flat = channels_of(replace(example, image=np.full((96, 96, 3), 90, np.uint8)), 9)
    assert np.abs(flat[3:]).max() < 1e-3


def test_the_batch_is_padded_and_weighs_only_what_is_annotated_and_in_view():
    large, small = an_example((30, 40)), an_example((25, 33))
    fov = np.zeros((25, 33), bool)
    fov[:10] = True
    inputs = Collator(TASK, 8, 9)([replace(large, mask=None), replace(small, fov=fov)])
    assert inputs["image"].shape == (2, CHANNELS, 32, 40)
    assert inputs["weight"].sum((1, 2, 3)).tolist() == [0, 330]
    assert inputs["channel"].tolist() == [1, 1]


def test_each_sample_learns_and_predicts_the_channel_of_its_target():
    torch.manual_seed(0)
    module = UNetModule(SMALL, TASK)
    examples = [an_example((48, 48), "artery"), an_example((48, 48), "vein")]
    with torch.no_grad():
        maps = module.predict(make_batch(examples, Collator(TASK, 2, 9)))
    assert not torch.allclose(maps[0], maps[1])


@pytest.mark.parametrize("size", [(50, 70), (130, 49)])
def test_windows_of_one_image_go_through_the_net_in_one_call_on_several_processes(size, monkeypatch):
    monkeypatch.setattr(unet, "is_alone", lambda: False)
    module, calls = UNetModule(SMALL, TASK).eval(), []
    module.net.register_forward_hook(lambda net, given, result: calls.append(tuple(given[0].shape)))
    with torch.no_grad():
        (probability,) = module.predict(make_batch([an_example(size)], Collator(TASK, 2, 9)))
    assert probability.shape == size
    assert len(calls) == 1
    assert calls[0][0] > 1
    assert calls[0][2:] == (48, 48)


def test_alone_the_windows_come_in_small_calls_and_the_prediction_is_the_same(monkeypatch):
    module, batch = UNetModule(SMALL, TASK).eval(), make_batch([an_example((130, 260))], Collator(TASK, 2, 9))
    calls = []
    module.net.register_forward_hook(lambda net, given, result: calls.append(given[0].shape[0]))
    with torch.no_grad():
        (chunked,) = module.predict(batch)
        assert len(calls) > 1
        assert max(calls) == unet.WINDOWS
        monkeypatch.setattr(unet, "is_alone", lambda: False)
        assert torch.allclose(chunked, module.predict(batch)[0], atol=1e-6)


def test_an_image_within_the_window_is_predicted_as_it_is():
    module = UNetModule(SMALL, TASK).eval()
    batch = make_batch([an_example((48, 48))], Collator(TASK, 2, 9))
    with torch.no_grad():
        expected = torch.sigmoid(module.net(batch.inputs["image"]))[0, 1]
        assert torch.allclose(module.predict(batch)[0], expected, atol=1e-6)


def test_the_dice_loss_is_zero_for_the_mask_itself_and_near_one_for_its_opposite():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :] = 1
    weight = torch.ones_like(mask)
    assert soft_dice_loss(mask, mask, weight).item() == pytest.approx(0)
    assert soft_dice_loss(1 - mask, mask, weight).item() == pytest.approx(1 - 1 / 65)
    assert soft_dice_loss(torch.zeros_like(mask), torch.zeros_like(mask), weight).item() == 0


def test_a_sample_without_weight_adds_nothing_and_stays_finite():
    value = torch.full((2, 1, 2, 2), 3.0)
    weight = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    assert pixel_mean(value, weight).tolist() == [0, 3]
