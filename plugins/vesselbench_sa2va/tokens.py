"""Text to token ids: the small tokenizer of the tiny size, built in code, or a real one from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from vesselbench_sa2va.prompts import Part

PAD = 0
"""Id that fills a batch on the right: whatever token it is, the attention mask hides it."""
IGNORED = -100
BASE_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
INTERNVL_TOKENS = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
SA2VA_TOKENS = ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")


@dataclass(frozen=True)
class Encoded:
    """ids and labels of one conversation, of equal length; a label is the id where it is learned, else -100."""

    ids: list[int]
    labels: list[int]


def encode(tokenizer: Tokenizer, parts: list[Part]) -> Encoded:
    """Tokenise each part by itself, as the official trainer does, and join them."""
    ids: list[int] = []
    labels: list[int] = []
    for part in parts:
        piece = tokenizer.encode(part.text, add_special_tokens=False).ids
        ids += piece
        labels += piece if part.learned else [IGNORED] * len(piece)
    return Encoded(ids, labels)


def tiny_tokenizer() -> Tokenizer:
    """One token per byte, then the special tokens in the official order: no files, no network."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary: dict[str, int] = {"<|endoftext|>": PAD}
    vocabulary |= {letter: index for index, letter in enumerate(letters, start=1)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    level: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = level
    special = [*BASE_TOKENS, *INTERNVL_TOKENS, *SA2VA_TOKENS]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a special token that must be there."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return int(found)
