"""Examples to tensors, in loader workers: tiles, SAM's image, the text with its labels, and the masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from vesselbench import Example, UserError
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.prompts import ANSWER, ANSWERS, QUESTION, QUESTIONS, clean_phrase, conversation
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tiling import cut_tiles, fill_square, place
from vesselbench_sa2va.tokens import IGNORED, PAD, Encoded, encode


class Collator:
    """Picklable. Makes ``Batch.inputs`` of B examples, one object each (no floating tensor among them):

    tiles uint8 [T,t,t,3]; images uint8 [B,S,S,3]; placed int64 [B,2], the (height, width) of the image inside SAM's
    square; masks: uint8 [H,W] per example, at the image's own size; present bool [B], false where there is no mask;
    text: ids, labels and attention int64 [B,L] and seg int64 [B,3] (example, place of [SEG], 0);
    asked: the same with the fixed question and answer, when those of `text` are drawn at random.
    """

    def __init__(self, config: Sa2VAConfig, shape: Shape, tokenizer: Tokenizer) -> None:
        self.config, self.shape, self.tokenizer = config, shape, tokenizer
        self.max_tiles = config.max_tiles or shape.max_tiles

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        tiles = [cut_tiles(example.image, self.max_tiles, self.shape.vision.tile) for example in examples]
        side = self.shape.sam.image
        placements = [place(example.size, side, self.config.resize) for example in examples]
        squares = [fill_square(example.image, where) for example, where in zip(examples, placements, strict=True)]
        counts = [len(part) * self.shape.vision.tokens_per_tile for part in tiles]
        inputs = {
            "tiles": torch.from_numpy(np.concatenate(tiles)),
            "images": torch.from_numpy(np.stack(squares)),
            "placed": torch.tensor([(where.height, where.width) for where in placements]),
            "masks": [torch.from_numpy(_mask(example)) for example in examples],
            "present": torch.tensor([example.mask is not None for example in examples]),
        }
        fixed = self._text(examples, counts, drawn=False)
        if self.config.prompts == "fixed":
            return inputs | {"text": fixed}
        return inputs | {"text": self._text(examples, counts, drawn=True), "asked": fixed}

    def _text(self, examples: list[Example], counts: list[int], drawn: bool) -> dict[str, Tensor]:
        encoded, template = [], self.shape.template
        for example, count in zip(examples, counts, strict=True):
            phrase = clean_phrase(example.sample.prompt, example.sample.id)
            question, answer = (_draw(QUESTIONS), _draw(ANSWERS)) if drawn else (QUESTION, ANSWER)
            encoded.append(
                encode(self.tokenizer, conversation([(question.format(phrase=phrase), answer)], count, template))
            )
        self._check_length(examples, encoded)
        return pad_text(encoded, self.shape.tokens.seg)

    def _check_length(self, examples: list[Example], encoded: list[Encoded]) -> None:
        most = self.shape.language.positions
        for example, one in zip(examples, encoded, strict=True):
            if len(one.ids) > most:
                raise UserError(
                    f"sample {example.sample.id!r} makes {len(one.ids)} tokens, the language model takes {most}",
                    "lower model.max_tiles",
                )


def pad_text(encoded: list[Encoded], seg: int) -> dict[str, Tensor]:
    """ids, labels, attention [B,L], padded on the right, and seg [N,3]: text, place, number within the text."""
    longest = max(len(one.ids) for one in encoded)
    ids = torch.full((len(encoded), longest), PAD)
    labels = torch.full((len(encoded), longest), IGNORED)
    attention = torch.zeros((len(encoded), longest), dtype=torch.long)
    places = []
    for row, one in enumerate(encoded):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        labels[row, : len(one.ids)] = torch.tensor(one.labels)
        attention[row, : len(one.ids)] = 1
        found = [
            place for place, (token, label) in enumerate(zip(one.ids, one.labels, strict=True)) if token == label == seg
        ]
        places += [(row, place, number) for number, place in enumerate(found)]
    return {"ids": ids, "labels": labels, "attention": attention, "seg": torch.tensor(places)}


def _mask(example: Example) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask = np.zeros(example.size, np.uint8) if example.mask is None else example.mask
    return np.ascontiguousarray(mask, dtype=np.uint8)


def _draw(choices: tuple[str, ...]) -> str:
    """By torch's generator, which the training loader sets for each micro-batch from the seed and its place."""
    return choices[int(torch.randint(len(choices), ()))]
