"""Text to token ids: the small tokenizer of the tiny size, built in code, or a real one from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from vesselbench import UserError
from vesselbench_sa2va.prompts import Part
from vesselbench_sa2va.sizes import Shape

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
    written: Any = decoders.ByteLevel()
    tokenizer.decoder = written
    special = [*BASE_TOKENS, *INTERNVL_TOKENS, *SA2VA_TOKENS]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def read_tokenizer(folder: Path, shape: Shape) -> Tokenizer:
    """The tokenizer of a released model, from its folder.

    One that lacks exactly the new tokens (InternVL's own) gets them, in the official order, behind its last id. Raises
    UserError when a token that the model looks for is missing or stands elsewhere.
    """
    from transformers import AutoTokenizer, PreTrainedConfig  # late: the tiny size needs none in loader workers

    if not folder.is_dir():
        raise UserError(f"model.tokenizer: {folder} is no folder", "give the folder with tokenizer_config.json")
    try:
        # A config of our own: the folder's may name code to run, and the user would be asked whether to.
        loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, config=PreTrainedConfig())
        tokenizer: Tokenizer = loaded.backend_tokenizer
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"{folder} holds no tokenizer that can be read: {first}", "copy all its files") from None
    new = SA2VA_TOKENS[: len(shape.tokens.new)]
    if not any(tokenizer.token_to_id(token) is not None for token in new):
        if tokenizer.get_vocab_size() != shape.tokens.new[0]:
            raise UserError(
                f"{folder}: the tokenizer has {tokenizer.get_vocab_size()} tokens and no [SEG]",
                "give the tokenizer of a released Sa2VA model, or of its InternVL base",
            )
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in new])
    wanted = dict(zip(new, shape.tokens.new, strict=True)) | {"<IMG_CONTEXT>": shape.tokens.image}
    for token, expected in wanted.items():
        if tokenizer.token_to_id(token) != expected:
            raise UserError(
                f"{folder}: token {token} has id {tokenizer.token_to_id(token)}, the model wants {expected}",
                "give the tokenizer that belongs to the weights",
            )
    return tokenizer
