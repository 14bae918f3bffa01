"""The language model's own forward pass, against transformers'."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model, apply_rotary_pos_emb

from vesselbench_sa2va.qwen2 import Language, LanguageLayer, exchange_language, rotate


def build_pair(attention: str = "sdpa", **options: Any) -> tuple[Any, Any]:
    """Two equal models of two layers, 4 heads on 2 keys: transformers' and the exchanged one."""
    config = Qwen2Config(
        vocab_size=20,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        **options,
    )
    model = Qwen2Model(config)
    model.set_attn_implementation(attention)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    own = deepcopy(model)
    exchange_language(own)
    assert type(own) is Language
    assert {type(layer) for layer in own.layers} == {LanguageLayer}
    return model, own


def results_of(model: Any, embedded: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    """Its states, and the slope of a sum over the texts' own ones at the input."""
    embedded = embedded.clone().requires_grad_()
    states = model(inputs_embeds=embedded, attention_mask=attention, use_cache=False).last_hidden_state
    (states * attention[..., None]).square().sum().backward()
    assert embedded.grad is not None
    return states.detach(), embedded.grad


@pytest.mark.parametrize(("texts", "length"), [(1, 1), (1, 9), (3, 17)])
def test_states_and_gradients_are_those_of_transformers(texts: int, length: int) -> None:
    pair = build_pair()
    embedded, attention = torch.randn(texts, length, 32), torch.ones(texts, length, dtype=torch.long)
    (theirs, slope), (ours, own_slope) = (results_of(model, embedded, attention) for model in pair)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_slope, slope, atol=1e-4, rtol=1e-4)
    for wanted, found in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        if wanted.grad is not None:  # the embedding is not asked
            torch.testing.assert_close(found.grad, wanted.grad, atol=1e-4, rtol=1e-4)


def test_a_later_token_changes_no_earlier_state() -> None:
    own = build_pair()[1]
    embedded, attention = torch.randn(1, 8, 32), torch.ones(1, 8, dtype=torch.long)
    before, _ = results_of(own, embedded, attention)
    embedded[:, 5:] += 1
    after, _ = results_of(own, embedded, attention)
    assert torch.equal(after[:, :5], before[:, :5])
    assert not torch.isclose(after[:, 5:], before[:, 5:]).all(-1).any()


def test_texts_padded_on_the_right_have_the_states_and_gradients_of_transformers() -> None:
    pair = build_pair()
    embedded, attention = torch.randn(2, 6, 32), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    (theirs, slope), (ours, own_slope) = (results_of(model, embedded, attention) for model in pair)
    text = attention.bool()
    torch.testing.assert_close(ours[text], theirs[text], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_slope, slope, atol=1e-4, rtol=1e-4)


def test_texts_padded_on_the_left_are_computed_as_transformers_does() -> None:
    pair = build_pair()
    embedded, attention = torch.randn(2, 6, 32), torch.tensor([[1] * 6, [0] * 2 + [1] * 4])
    (theirs, slope), (ours, own_slope) = (results_of(model, embedded, attention) for model in pair)
    assert torch.equal(ours, theirs)
    assert torch.equal(own_slope, slope)


def test_bfloat16_differs_by_rounding() -> None:
    embedded, attention = torch.randn(1, 9, 32, dtype=torch.bfloat16), torch.ones(1, 9, dtype=torch.long)
    found = [results_of(model.to(torch.bfloat16), embedded, attention)[0] for model in build_pair()]
    assert found[1].dtype is torch.bfloat16
    torch.testing.assert_close(found[1], found[0], atol=0.1, rtol=0.05)


def test_eager_attention_gives_the_numbers_of_transformers_to_the_bit() -> None:
    pair = build_pair("eager")
    embedded, attention = torch.randn(1, 6, 32), torch.ones(1, 6, dtype=torch.long)
    (theirs, slope), (ours, own_slope) = (results_of(model, embedded, attention) for model in pair)
    assert torch.equal(ours, theirs)
    assert torch.equal(own_slope, slope)


def test_an_answer_written_word_by_word_is_computed_as_transformers_does() -> None:
    embedded = torch.randn(1, 5, 32)
    found = []
    for model in build_pair():
        options: dict[str, Any] = {"use_cache": True, "past_key_values": None}
        for length in range(1, 6):
            given = embedded[:, length - 1 : length]
            output = model(inputs_embeds=given, attention_mask=torch.ones(1, length, dtype=torch.long), **options)
            options["past_key_values"] = output.past_key_values
        found.append(output.last_hidden_state)
    assert torch.equal(*found)


def test_queries_and_keys_turn_as_transformers_turns_them() -> None:
    model = build_pair()[0]
    x = torch.randn(2, 9, 4, 8, requires_grad=True)
    cosine, sine = model.rotary_emb(x, torch.arange(9)[None])
    wanted = apply_rotary_pos_emb(x.transpose(1, 2), x.transpose(1, 2), cosine, sine)[0].transpose(1, 2)
    found = rotate(x, cosine, torch.cat([-sine[..., :4], sine[..., 4:]], -1))
    torch.testing.assert_close(found, wanted)
    slopes = torch.randn_like(found)
    torch.testing.assert_close(*(torch.autograd.grad(turned, x, slopes)[0] for turned in (found, wanted)))
