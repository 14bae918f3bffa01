"""SAM 2's own forward passes against those of transformers, whose modules they use."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from transformers import Sam2Model

from vesselbench_sa2va.sam2 import build_sam2, decode_masks, image_maps, merges, sam2_config
from vesselbench_sa2va.sizes import TINY


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    stock = Sam2Model(sam2_config(TINY.sam))
    for parameter in stock.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    own = build_sam2(TINY.sam)
    own.load_state_dict(stock.state_dict())
    return stock, own


def _of_transformers(stock, images, prompts, single):
    """As `decode_masks` is documented, in the calls that transformers offers."""
    maps = list(stock.vision_encoder(images).fpn_hidden_states)
    maps[0], maps[1] = stock.mask_decoder.conv_s0(maps[0]), stock.mask_decoder.conv_s1(maps[1])
    count, objects, _ = prompts.shape
    labels = -torch.ones(count, objects, 1, dtype=torch.int32)
    sparse, dense = stock.prompt_encoder(torch.zeros(count, objects, 1, 2), labels, None, None)
    logits, iou, _, _ = stock.mask_decoder(
        image_embeddings=maps[2] + stock.no_memory_embedding.reshape(1, -1, 1, 1),
        image_positional_embeddings=stock.get_image_wide_positional_embeddings().repeat(count, 1, 1, 1),
        sparse_prompt_embeddings=torch.cat([sparse, prompts[:, :, None]], dim=2),
        dense_prompt_embeddings=dense,
        multimask_output=not single,
        high_resolution_features=maps[:2],
    )
    return maps, logits, iou


@pytest.mark.parametrize(("images", "objects", "single"), [(1, 1, False), (2, 3, False), (2, 1, True)])
def test_maps_and_scores_are_those_of_transformers_to_the_bit_and_masks_and_gradients_to_rounding(
    pair, images, objects, single
):
    stock, own = pair
    pixels, prompts = torch.randn(images, 3, TINY.sam.image, TINY.sam.image), torch.randn(images, objects, 64)
    wanted_maps, wanted_logits, wanted_iou = _of_transformers(stock, pixels, prompts, single)
    maps = image_maps(own, pixels, frozen=False)
    logits, iou = decode_masks(own, maps, prompts, single)
    assert len(maps) == len(wanted_maps)
    assert all(
        torch.equal(found, wanted) for found, wanted in zip([*maps, iou], [*wanted_maps, wanted_iou], strict=True)
    )
    torch.testing.assert_close(logits, wanted_logits)  # one product has fewer rows, and may round otherwise
    for model, outputs in ((stock, (wanted_logits, wanted_iou)), (own, (logits, iou))):
        model.zero_grad()
        sum(output.square().mean() for output in outputs).backward()
    reached = 0
    for (name, parameter), other in zip(own.named_parameters(), stock.parameters(), strict=True):
        if parameter.grad is None:
            assert other.grad is None or not other.grad.any(), name
        else:
            reached += 1
            torch.testing.assert_close(parameter.grad, other.grad, msg=lambda text, name=name: f"{name}: {text}")
    assert reached > 100


@pytest.mark.parametrize("images", [1, 2])
def test_one_product_for_two_convolutions_gives_the_maps_and_gradients_of_both(pair, images):
    own = deepcopy(pair[1])
    own.requires_grad_(False)
    readers = [own.mask_decoder.conv_s0, own.mask_decoder.conv_s1]
    for part in readers:
        part.requires_grad_(True)
    pixels = torch.randn(images, 3, TINY.sam.image, TINY.sam.image)
    assert merges(own, frozen=True)
    assert not merges(own, frozen=False)
    found = []
    for frozen in (False, True):
        own.zero_grad()
        maps = image_maps(own, pixels, frozen)
        sum((plane * torch.linspace(-1, 1, plane.numel()).view(plane.shape)).sum() for plane in maps).backward()
        found.append([*(plane.detach() for plane in maps), *(p.grad for part in readers for p in part.parameters())])
    for merged, apart in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(merged, apart, atol=1e-4, rtol=1e-4)


def test_convolutions_are_not_merged_where_the_pyramid_adds_something_between():
    shape = replace(TINY.sam, top_down=(1, 2, 3))
    torch.manual_seed(0)
    own = build_sam2(shape).eval()
    assert not merges(own, frozen=True)
    pixels = torch.randn(1, 3, shape.image, shape.image)
    for merged, apart in zip(image_maps(own, pixels, True), image_maps(own, pixels, False), strict=True):
        assert torch.equal(merged, apart)
