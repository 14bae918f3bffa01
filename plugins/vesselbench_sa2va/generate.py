"""The model writes the answer itself: greedy, a fixed number of tokens, so that every process makes equal calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tokens import IGNORED, PAD


class Speaker(Protocol):
    """What of a Sa2VAModule writes an answer; see there."""

    shape: Shape

    @property
    def internvl(self) -> Any: ...

    def embed(self, tiles: Tensor, ids: Tensor) -> Tensor: ...

    def embed_tokens(self, ids: Tensor) -> Tensor: ...

    def token_logits(self, states: Tensor) -> Tensor: ...


class Answered(NamedTuple):
    """A prediction with the answer that it comes from. status: ok, no_seg (no mask: 0 everywhere) or several_seg."""

    probability: Tensor
    text: str
    status: str


@dataclass(frozen=True)
class Written:
    """tokens int64 [B,T] as written and their states [B,T,C]; int64 [B]: seg, the place of the first [SEG] (0 when it
    has none), count, how many [SEG] stand before the end mark, and length, all tokens before it."""

    tokens: Tensor
    states: Tensor
    seg: Tensor
    count: Tensor
    length: Tensor


def questions(text: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """ids and attention [B,N] of what stands before the answers, padded on the left."""
    ids, lengths = text["ids"], (text["labels"] != IGNORED).int().argmax(1)
    longest = int(lengths.max())
    source = torch.arange(longest, device=ids.device) - (longest - lengths)[:, None]
    attention = (source >= 0).long()
    return torch.where(attention.bool(), ids.gather(1, source.clamp(min=0)), PAD), attention


@torch.no_grad()
def write_answers(module: Speaker, tiles: Tensor, text: dict[str, Tensor], steps: int, end: int) -> Written:
    """Let the model answer the questions of `text` in `steps` tokens; `end` is the id of the end mark.

    A state is that *of* the written token, as in training: the token is fed back before its state is taken.
    """
    ids, attention = questions(text)
    language = module.internvl.model.language_model
    cache = DynamicCache(config=language.config)
    places = (attention.cumsum(1) - 1).clamp(min=0)
    output = language(
        inputs_embeds=module.embed(tiles, ids),
        attention_mask=attention,
        position_ids=places,
        past_key_values=cache,
        use_cache=True,
    )
    newest, place = output.last_hidden_state[:, -1], places[:, -1:]
    tokens, states = [], []
    for _ in range(steps):
        token = module.token_logits(newest).argmax(-1)
        attention, place = torch.cat([attention, torch.ones_like(place)], 1), place + 1
        output = language(
            inputs_embeds=module.embed_tokens(token[:, None]),
            attention_mask=attention,
            position_ids=place,
            past_key_values=cache,
            use_cache=True,
        )
        newest = output.last_hidden_state[:, -1]
        tokens.append(token)
        states.append(newest)
    written = torch.stack(tokens, 1)
    open_ = (written == end).cumsum(1) == 0
    found = (written == module.shape.tokens.seg) & open_
    return Written(written, torch.stack(states, 1), found.int().argmax(1), found.sum(1), open_.sum(1))


def status_of(count: int) -> str:
    """In words how many [SEG] an answer has."""
    return ("no_seg", "ok")[count] if count < 2 else "several_seg"
