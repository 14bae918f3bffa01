"""Examples to tensors, in loader workers: tiles, SAM's image, the text with its labels, and the masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from vesselbench import Example, Sample, UserError
from vesselbench.contrast import local_contrast, planes_of
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.prompts import ANSWER, ANSWERS, QUESTION, QUESTIONS, clean_phrase, conversation
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tiling import cut_tiles, fill_square, place
from vesselbench_sa2va.tokens import IGNORED, PAD, Encoded, encode
from vesselbench_sa2va.views import view_of
from vesselbench_sa2va.windows import cut_windows

LONGEST_NAME = 60
"""Characters of a sample's id in a message."""


class Collator:
    """Picklable. Makes ``Batch.inputs`` of examples with N objects in B images (no floating tensor among them):

    tiles uint8 [T,t,t,3]; images uint8 [B,S,S,3]; placed int64 [B,2], the (height, width) of the image inside SAM's
    square; masks: uint8 [H,W] per object, at the image's own size; present bool [N], false where there is no mask;
    seeds int64 [N], from which an object's points are drawn; text: ids, labels and attention int64 [B,L] and seg int64
    [N,3] (image, place of [SEG], number within the image).

    An example is an image with one phrase. In `training`, with ``phrases: turns``, the phrases of one image are turns
    of one conversation, in their order; else each has a conversation, and an image, of its own. In `training`, with
    ``prompts: official``, question and answer are drawn. For a prediction with several `views` each view of an example
    takes its place, and with `window` set every window of it is an image; further inputs then say which: windows int64
    [N,3] (view, top, left) and window_sizes [N,2].
    """

    def __init__(self, config: Sa2VAConfig, shape: Shape, tokenizer: Tokenizer, training: bool = False) -> None:
        self.config, self.shape, self.tokenizer = config, shape, tokenizer
        self.max_tiles = config.max_tiles or shape.max_tiles
        self.drawn = training and config.prompts == "official"
        self.turns = training and config.phrases == "turns"
        self.window, self.views = (None, 1) if training else (config.window, config.views)

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        if self.config.neighbourhood is not None:
            examples = [_contrasted(example, self.config.neighbourhood) for example in examples]
        if self.views > 1:
            examples = [view_of(example, view) for example in examples for view in range(self.views)]
        if self.window is None and self.views == 1:
            return self._inputs(examples)
        pieces, places = cut_windows(examples, self.window)
        inputs = self._inputs(pieces)
        sizes = torch.tensor([piece.size for piece in pieces])
        return {**inputs, "windows": places, "window_sizes": sizes}

    def check_texts(self, samples: Sequence[Sample]) -> None:
        """Refuse at once, by their texts alone, samples that a batch would refuse when they are drawn.

        Counted are a single tile and the longest question and answer that may be drawn: what more tiles add is known
        when the image is read. Raises UserError for a phrase that is empty or too long, and for too many tokens.
        """
        talks: dict[str, list[Sample]] = {}
        for sample in samples:
            talks.setdefault(str(sample.image) if self.turns else sample.id, []).append(sample)
        question, answer = (max(QUESTIONS, key=len), max(ANSWERS, key=len)) if self.drawn else (QUESTION, ANSWER)
        tile = self.shape.vision.tokens_per_tile
        for talk in talks.values():
            turns = [(_asked(question, sample), answer) for sample in talk]
            text = encode(self.tokenizer, conversation(turns, 0, self.shape.template))
            self._check_length(talk, len(text.ids) + tile, tile)

    def _inputs(self, examples: list[Example]) -> dict[str, Any]:
        talks = _by_image(examples) if self.turns else [[example] for example in examples]
        firsts = [talk[0] for talk in talks]
        objects = [example for talk in talks for example in talk]
        tiles = [cut_tiles(example.image, self.max_tiles, self.shape.vision.tile) for example in firsts]
        placements = [place(example.size, self.shape.sam.image, self.config.resize) for example in firsts]
        squares = [fill_square(example.image, where) for example, where in zip(firsts, placements, strict=True)]
        return {
            "tiles": torch.from_numpy(np.concatenate(tiles)),
            "tile_counts": torch.tensor([len(part) for part in tiles]),
            "images": torch.from_numpy(np.stack(squares)),
            "placed": torch.tensor([(where.height, where.width) for where in placements]),
            "masks": [torch.from_numpy(_mask(example)) for example in objects],
            "present": torch.tensor([example.mask is not None for example in objects]),
            "seeds": torch.tensor([example.seed + number for talk in talks for number, example in enumerate(talk)]),
            "text": self._text(talks, [len(part) * self.shape.vision.tokens_per_tile for part in tiles]),
        }

    def _text(self, talks: list[list[Example]], counts: list[int]) -> dict[str, Tensor]:
        encoded = []
        for talk, count in zip(talks, counts, strict=True):
            turns = [self._turn(example) for example in talk]
            encoded.append(encode(self.tokenizer, conversation(turns, count, self.shape.template)))
            self._check_length([example.sample for example in talk], len(encoded[-1].ids), count)
        return pad_text(encoded, self.shape.tokens.seg)

    def _turn(self, example: Example) -> tuple[str, str]:
        question, answer = QUESTION, ANSWER
        if self.drawn:
            draw = np.random.default_rng(example.seed)
            question, answer = QUESTIONS[draw.integers(len(QUESTIONS))], ANSWERS[draw.integers(len(ANSWERS))]
        return _asked(question, example.sample), answer

    def _check_length(self, talk: list[Sample], tokens: int, image: int) -> None:
        """`tokens` in all of one conversation, `image` of them for its tiles."""
        most = self.shape.language.positions
        if tokens <= most:
            return
        tiles = image // self.shape.vision.tokens_per_tile
        cures = [f"lower model.max_tiles (now {self.max_tiles})"] if tiles > 1 else []
        cures += ["set model.phrases=separate"] if len(talk) > 1 else []
        raise UserError(
            f"{_named(talk[0])} makes {tokens} tokens, {image} of them for {tiles} tiles; the language model "
            f"takes {most}",
            " or ".join(cures) or "shorten the phrase",
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


def _by_image(examples: list[Example]) -> list[list[Example]]:
    """The phrases of each image. A sample that comes again is of the next epoch and changed otherwise: it begins a
    conversation, with a picture, of its own."""
    talks: list[list[Example]] = []
    newest: dict[str, list[Example]] = {}
    for example in examples:
        talk = newest.get(str(example.sample.image))
        if talk is None or any(example.sample.id == other.sample.id for other in talk):
            talk = newest[str(example.sample.image)] = []
            talks.append(talk)
        talk.append(example)
    return talks


def _asked(question: str, sample: Sample) -> str:
    return question.format(phrase=clean_phrase(sample.prompt, _named(sample)))


def _named(sample: Sample) -> str:
    """A sample's id holds its phrase where an image has several: one that is too long is cut."""
    name = sample.id if len(sample.id) <= LONGEST_NAME else f"{sample.id[: LONGEST_NAME - 3]}..."
    return f"sample {name!r} ({sample.origin or sample.image})"


def _contrasted(example: Example, side: int) -> Example:
    """The example with its `local_contrast` in grey levels: 127.5 where there is none, 42 more or less a deviation, and
    ever less beyond three of them."""
    local = local_contrast(planes_of(example.image), example.fov, side)
    levels = 127.5 * (1 + np.tanh(local / 3))
    return replace(example, image=np.ascontiguousarray(levels.round().astype(np.uint8).transpose(1, 2, 0)))


def _mask(example: Example) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask = np.zeros(example.size, np.uint8) if example.mask is None else example.mask
    return np.ascontiguousarray(mask, dtype=np.uint8)
