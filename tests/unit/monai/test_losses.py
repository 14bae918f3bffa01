from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import DiceLoss, FocalLoss

from vesselbench_monai.losses import (
    cross_entropy,
    focal_loss,
    pixel_mean,
    sample_losses,
    soft_cldice_loss,
    soft_dice_loss,
)
from vesselbench_monai.settings import NetConfig

NAMES = ["dice_ce", "dice_focal", "dice_ce_cldice"]


def a_case(seed: int = 0, size: int = 24):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 1, size, size, generator=generator) * 3
    mask = torch.zeros(2, 1, size, size)
    mask[0, :, 8:12], mask[1, :, :, 4:7] = 1, 1
    return logits, mask, torch.ones_like(mask)


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


def test_they_agree_with_monai_where_every_pixel_counts():
    logits, mask, weight = a_case()
    probability = torch.sigmoid(logits)
    dice = DiceLoss(smooth_nr=1, smooth_dr=1, reduction="none")(probability, mask).flatten()
    assert torch.allclose(soft_dice_loss(probability, mask, weight), dice, atol=1e-6)
    focal = FocalLoss(gamma=2, reduction="none")(logits, mask).mean((1, 2, 3))
    assert torch.allclose(focal_loss(logits, mask, weight, 2.0), focal, atol=1e-6)


def test_soft_cldice_is_each_samples_own():
    logits, mask, weight = a_case()
    probability = torch.sigmoid(logits)
    together = soft_cldice_loss(probability, mask, weight, 3)
    alone = [soft_cldice_loss(probability[i : i + 1], mask[i : i + 1], weight[i : i + 1], 3).item() for i in range(2)]
    assert together.tolist() == pytest.approx(alone)
    assert soft_cldice_loss(mask, mask, weight, 3).tolist() == pytest.approx([0, 0], abs=1e-4)


def test_focal_loss_without_discount_is_cross_entropy():
    logits, mask, weight = a_case()
    assert torch.allclose(focal_loss(logits, mask, weight, 0.0), cross_entropy(logits, mask, weight))


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 1000))
def test_pixels_without_weight_change_neither_loss_nor_gradient(name, seed):
    config = NetConfig(loss=name)
    logits, mask, weight = a_case(seed)
    weight[..., 12:] = 0
    other = logits.clone()
    other[..., 12:] = -50
    values = []
    for given_logits, given_mask in ((logits, mask), (other, torch.where(weight > 0, mask, 1 - mask))):
        leaf = given_logits.clone().requires_grad_()
        loss = sample_losses(leaf, given_mask, weight, config)["loss"].sum()
        loss.backward()
        values.append((loss.item(), leaf.grad))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-5)
    assert not values[0][1][..., 12:].any()
    assert torch.allclose(values[0][1][..., :12], values[1][1][..., :12], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_confident_right_answer_costs_next_to_nothing_a_wrong_one_much(name):
    _, mask, weight = a_case()
    config = NetConfig(loss=name)
    right = sample_losses((2 * mask - 1) * 20, mask, weight, config)["loss"]
    wrong = sample_losses((1 - 2 * mask) * 20, mask, weight, config)["loss"]
    assert right.max() < 1e-3
    assert wrong.min() > 1


def test_a_gap_costs_more_in_cldice_than_the_same_pixels_off_the_rim():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 14:19, :] = 1
    gap, thin = mask.clone(), mask.clone()
    gap[..., 14:19, 14:18] = 0  # 20 pixels, the line is broken
    thin[..., 14:15, 6:26] = 0  # 20 pixels of one rim
    weight = torch.ones_like(mask)
    broken, thinner = (soft_cldice_loss(p, mask, weight, 5).item() for p in (gap, thin))
    assert broken > 5 * max(thinner, 1e-3)
    assert soft_dice_loss(gap, mask, weight).item() == pytest.approx(soft_dice_loss(thin, mask, weight).item())


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_mask_gives_a_finite_loss_with_a_gradient(name):
    logits, mask, weight = a_case()
    leaf = logits.clone().requires_grad_()
    loss = sample_losses(leaf, torch.zeros_like(mask), weight, NetConfig(loss=name))["loss"].mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(leaf.grad).all()
    assert leaf.grad.any()
