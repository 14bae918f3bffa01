"""Every stage of a prediction against the official code."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.tolerances import FEATURES, MASKS, Close, loss_tolerance
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.sam2 import best_mask, image_maps, to_image_sizes


@torch.no_grad()
def test_parity_of_the_vision_tower_and_the_projector(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    tiles = oracle.tiles.to(module.text_hidden_fcs[0].weight.dtype)
    tower = module.internvl.model.vision_tower(pixel_values=tiles).last_hidden_state
    close("vit_last_hidden_state", tower, oracle.expected["vit_last_hidden_state"], FEATURES)
    close("vision_features", module.visual_tokens(tiles), oracle.expected["vision_features"], FEATURES)


@torch.no_grad()
def test_parity_of_the_language_model(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    states, expected, valid = oracle.states(module), oracle.expected, oracle.valid
    close("last_hidden_state", states[valid], expected["last_hidden_state"][valid], FEATURES)
    close("logits", module.token_logits(states[valid]), expected["logits"][valid], FEATURES)
    stored = expected["llm_loss"].squeeze()
    close("llm_loss", oracle.llm_loss(module, states), stored, loss_tolerance(stored))


@torch.no_grad()
def test_parity_of_the_prompt(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    expected, seg = oracle.expected, oracle.seg
    assert torch.bincount(seg[:, 0], minlength=oracle.samples).tolist() == expected["seg_counts"].tolist()
    hidden = oracle.states(module)[seg[:, 0], seg[:, 1]]
    close("seg_hidden", hidden, expected["seg_hidden"], FEATURES)
    close("seg_embedding", module.text_hidden_fcs(hidden), expected["seg_embedding"], FEATURES)


@torch.no_grad()
def test_parity_of_the_image_maps(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    pixels = oracle.inputs["grounding_pixel_values"].to(module.text_hidden_fcs[0].weight.dtype)
    maps = image_maps(module.sam, pixels, frozen=True)
    for level, found in enumerate(maps):
        close(f"sam.fpn{level}", found, oracle.expected[f"sam.fpn{level}"], FEATURES)


@torch.no_grad()
def test_parity_of_the_masks(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    expected, decoder, tokens = oracle.expected, module.sam.mask_decoder, []
    hook = decoder.transformer.register_forward_hook(lambda _module, _args, output: tokens.append(output[0]))
    logits, iou = oracle.candidates(module, oracle.states(module))
    hook.remove()
    close("sam.low_res_multimasks", logits, expected["sam.low_res_multimasks"], MASKS)
    close("sam.iou_scores", iou, expected["sam.iou_scores"], FEATURES)
    score = decoder.pred_obj_score_head(tokens[0][:, :, 0])[oracle.seg[:, 0], oracle.seg[:, 2]]
    close("sam.object_score_logits", score, expected["sam.object_score_logits"], FEATURES)
    chosen = best_mask(logits, iou)
    close("sam.low_res_mask", chosen[:, None], expected["sam.low_res_mask"], MASKS)
    side = module.shape.sam.image
    whole = to_image_sizes(chosen, side, [(side, side)] * len(chosen), [(side, side)] * len(chosen))
    close("sam.video_res_mask", torch.stack(whole)[:, None], expected["sam.video_res_mask"], MASKS)


@torch.no_grad()
def test_parity_of_the_final_masks_at_the_size_of_the_image(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    chosen = best_mask(*oracle.candidates(module, oracle.states(module)))
    side, sizes = module.shape.sam.image, [tuple(mask.shape) for mask in oracle.masks]
    full = to_image_sizes(chosen, side, [(side, side)] * len(sizes), sizes)
    for sample in range(oracle.samples):
        ours = torch.stack([mask for mask, row in zip(full, oracle.seg[:, 0].tolist(), strict=True) if row == sample])
        official = oracle.expected[f"final_mask_logits.{sample}"]
        close(f"final_mask_logits.{sample}", ours, official, MASKS)
        clear = official.abs() > 1e-3
        binary = oracle.expected[f"final_mask.{sample}"].bool()
        assert torch.equal((ours.sigmoid() > 0.5)[clear], binary[clear])


@torch.no_grad()
def test_parity_of_the_default_attention(oracle: Any, close: Close) -> None:
    """Fused attention adds up in another order. It may differ by the asked tolerance, or by as much as the stored
    numbers themselves differ from the exact ones where that is more."""
    model, exact, expected = oracle.build(freeze="none", attention="sdpa"), oracle.truth, oracle.expected
    states, seg, valid = oracle.states(model), oracle.seg, oracle.valid
    tiles = oracle.tiles.to(states.dtype)
    logits, iou = oracle.candidates(model, states)
    found = {
        "vision_features": (model.visual_tokens(tiles), expected["vision_features"], exact.features, FEATURES),
        "logits": (model.token_logits(states[valid]), expected["logits"][valid], exact.logits[valid], FEATURES),
        "seg_embedding": (
            model.text_hidden_fcs(states[seg[:, 0], seg[:, 1]]),
            expected["seg_embedding"],
            exact.embedding,
            FEATURES,
        ),
        "sam.iou_scores": (iou, expected["sam.iou_scores"], exact.decoded.iou, FEATURES),
        "sam.low_res_multimasks": (logits, expected["sam.low_res_multimasks"], exact.decoded.masks, MASKS),
    }
    for stage, (ours, official, true, tolerance) in found.items():
        rounding = float((official.double() - true).abs().max())
        close(f"sdpa {stage} (stored are {rounding:.1e} from exact)", ours, official, max(tolerance, rounding))
