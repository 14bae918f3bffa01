"""A training checkpoint of the official code on top of its base: adapter active, merged, and written back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.reference.fixture import FIXED, read_adapted
from tests.parity.tolerances import FEATURES, GRADIENTS, MASKS, Close, loss_tolerance
from vesselbench import UserError
from vesselbench_sa2va.merged import official_tensors
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import official, plain
from vesselbench_sa2va.sam2 import best_mask, to_image_sizes

EMBEDDING, HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"


def _settings(oracle: Any) -> dict[str, Any]:
    path = oracle.folder / "lora" / "adapter.json"
    if not path.is_file():
        pytest.skip("this fixture has no training checkpoint")
    return dict(json.loads(path.read_text()))


def _adapter(oracle: Any, tokens: str, *, attention: str = "eager", dtype: str = "", **changes: Any) -> Sa2VAModule:
    settings = _settings(oracle)
    lora = {"r": settings["r"], "alpha": settings["lora_alpha"], "dropout": settings["lora_dropout"], "tokens": tokens}
    weights = [str(oracle.folder), str(oracle.folder / "lora" / "train_checkpoint.safetensors")]
    return oracle.build(
        weights=weights, freeze="official", lora=lora | changes, attention=attention, dtype=dtype or oracle.dtype
    )


@torch.no_grad()
def _stages(oracle: Any, model: Sa2VAModule) -> dict[str, Tensor]:
    states, seg, side = oracle.states(model), oracle.seg, model.shape.sam.image
    first = best_mask(*oracle.candidates(model, states))[:1]
    return {
        "logits": model.token_logits(states[oracle.valid]),
        "llm_loss": oracle.llm_loss(model, states),
        "seg_embedding": model.text_hidden_fcs(states[seg[:, 0], seg[:, 1]]),
        "video_res_mask": to_image_sizes(first, side, [(side, side)], [(side, side)])[0][None, None],
    }


def _expected(oracle: Any, prefix: str) -> dict[str, Tensor]:
    stored = load_file(oracle.folder / "lora" / "expected.safetensors")
    return {
        "logits": stored[f"{prefix}.logits"][oracle.valid],
        "llm_loss": stored[f"{prefix}.llm_loss"].squeeze(),
        "seg_embedding": stored[f"{prefix}.seg_embedding"],
        "video_res_mask": stored["merged.video_res_mask"],
    }


def _tolerance(stage: str, official: Tensor) -> float:
    return {"llm_loss": loss_tolerance(official), "video_res_mask": MASKS}.get(stage, FEATURES)


@torch.no_grad()
def _exact(oracle: Any, prefix: str) -> dict[str, Tensor]:
    reference = read_adapted(oracle.folder, torch.float64, inner=torch.float64)[prefix]
    return {
        "logits": reference.logits[oracle.valid],
        "llm_loss": reference.llm_loss,
        "seg_embedding": reference.embedding,
        "video_res_mask": reference.final_masks()["sam.video_res_mask"][:1],
    }


def _compare(oracle: Any, model: Sa2VAModule, prefix: str, name: str, close: Close, fused: bool = False) -> None:
    expected, exact = _expected(oracle, prefix), _exact(oracle, prefix)
    for stage, found in _stages(oracle, model).items():
        tolerance = _tolerance(stage, expected[stage])
        close(f"lora {name} {stage}", found, expected[stage], tolerance, exact[stage], fused)


@pytest.mark.parametrize("tokens", ["official", "lean"])
def test_parity_with_the_adapter_active(oracle: Any, close: Close, tokens: str) -> None:
    _compare(oracle, _adapter(oracle, tokens), "adapter", f"active {tokens}", close)


@pytest.mark.parametrize("tokens", ["official", "lean"])
def test_parity_after_merging_and_a_round_trip_through_official_keys(
    oracle: Any, close: Close, tokens: str, tmp_path: Path
) -> None:
    model = _adapter(oracle, tokens)
    merged = dict(official_tensors(model))
    expected = load_file(oracle.folder / "lora" / "expected.safetensors")
    states = {key.removeprefix("merged.state."): v for key, v in expected.items() if key.startswith("merged.state.")}
    assert states
    for key, value in states.items():
        torch.testing.assert_close(merged[key], value, atol=1e-6, rtol=0)
    save_file(merged, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((oracle.folder / "config.json").read_text())
    again = oracle.build(weights=[str(tmp_path)])
    _compare(oracle, again, "merged", f"merged {tokens}", close)


def test_parity_keeps_the_base_under_a_trained_copy(oracle: Any) -> None:
    model = _adapter(oracle, "official")
    base = load_file(oracle.folder / "model.safetensors")
    table = model.internvl.lm_head
    assert torch.equal(table.original_module.weight, base["language_model.lm_head.weight"])
    assert not torch.equal(table.modules_to_save["default"].weight, table.original_module.weight)
    assert table.modules_to_save["default"].weight.requires_grad


def test_parity_refuses_a_checkpoint_of_another_rank(oracle: Any) -> None:
    rank = _settings(oracle)["r"]
    with pytest.raises(UserError, match=r"train_checkpoint.*lora_A") as caught:
        _adapter(oracle, "lean", r=rank + 1)
    assert f"model.lora.r={rank}" in caught.value.hint


@pytest.mark.parametrize("tokens", ["official", "lean"])
def test_parity_of_the_gradients_of_everything_that_is_trained(oracle: Any, close: Close, tokens: str) -> None:
    """LoRA factors, new tokens, projector, text_hidden_fcs and mask decoder, in float64 against the reference."""
    model = _adapter(oracle, tokens, dtype="float64")
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    reference = read_adapted(oracle.folder, torch.float64)["adapter"]
    leaves = {name: tensor.requires_grad_(not name.endswith(FIXED)) for name, tensor in reference.tensors.items()}
    reference.losses(oracle.expected["train.point_coords"])["loss_total"].backward()
    states = oracle.states(model)
    chosen = best_mask(*oracle.candidates(model, states))
    _, _, loss_mask, loss_dice = oracle.mask_losses(chosen, reference.rows)
    (loss_mask + loss_dice + oracle.llm_loss(model, states)).backward()
    ids, found, wanted = list(model.shape.tokens.new), [], []
    for name, parameter in trained.items():
        if parameter.grad is not None:
            key = {"new_embedding.weight": EMBEDDING, "new_head.weight": HEAD}.get(name, official(plain(name)).keys[0])
            gradient = leaves[key].grad
            found.append(parameter.grad.flatten())
            wanted.append((gradient[ids] if name.startswith("new_") else gradient).flatten())
    assert sum(".lora_" in name for name, parameter in trained.items() if parameter.grad is not None) > 7
    close(f"lora {tokens} gradients of {len(found)} tensors", torch.cat(found), torch.cat(wanted), GRADIENTS["float64"])


def test_parity_with_the_adapter_active_in_the_default_attention(oracle: Any, close: Close) -> None:
    """Fused attention adds up in another order, and LoRA enlarges what that changes."""
    _compare(oracle, _adapter(oracle, "lean", attention="sdpa"), "adapter", "sdpa", close, fused=True)
