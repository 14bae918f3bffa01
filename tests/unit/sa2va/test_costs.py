"""The arithmetic of `costs_of` against torch's count of what the model computes, at sizes that can be built.

What the arithmetic leaves out, cutting into patches, the pooling between SAM's stages, and scores that flash attention
computes once more in its backward pass, weighs more the smaller the size is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.official_arrangement import SIZES
from vesselbench import Batch
from vesselbench.benchmarking.flops import count_flops
from vesselbench_sa2va.collate import pad_text
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.costs import LEARNED, TEXT, costs_of
from vesselbench_sa2va.footprint import PARTS, part_of
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tokens import IGNORED, Encoded


def one_sample(shape: Shape) -> Batch:
    """One tile, one object, as many tokens of text as are planned."""
    rng, side, tile = np.random.default_rng(0), shape.sam.image, shape.vision.tile
    question, answer = [1] * (TEXT - LEARNED), [shape.tokens.seg, *[1] * (LEARNED - 1)]
    question += [shape.tokens.image] * shape.vision.tokens_per_tile
    text = Encoded(question + answer, [IGNORED] * len(question) + answer)
    inputs = {
        "tiles": torch.from_numpy(rng.integers(0, 256, (1, tile, tile, 3), dtype=np.uint8)),
        "tile_counts": torch.tensor([1]),
        "images": torch.from_numpy(rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)),
        "placed": torch.tensor([(side, side)]),
        "masks": [torch.from_numpy(rng.integers(0, 2, (side, side), dtype=np.uint8))],
        "present": torch.tensor([True]),
        "seeds": torch.tensor([0]),
        "text": pad_text([text], shape.tokens.seg),
    }
    return Batch(["one"], [(side, side)], inputs)


@pytest.mark.parametrize(
    ("size", "values", "least"),
    [
        ("middle", {}, 0.92),
        ("middle", {"masks": "single"}, 0.92),
        ("middle", {"lora": {"r": 16, "alpha": 32, "dropout": 0, "tokens": "official"}}, 0.92),
        ("middle", {"freeze": "none"}, 0.86),
        ("tiny-a", {}, 0.84),
        ("tiny-a", {"freeze": "none"}, 0.83),
    ],
    ids=str,
)
def test_planned_operations_are_those_that_torch_counts(size: str, values: dict[str, Any], least: float) -> None:
    """Both passes, between `least` and 1.02 of the count. The lower of the two was measured 0.01 to 0.03 above `least`,
    the higher at 0.97 at most."""
    given = {"freeze": "official", "lora": {"r": 16, "alpha": 32, "dropout": 0}, "max_tiles": 1} | values
    config, shape = Sa2VAConfig.model_validate(given), SIZES[size]
    module = Sa2VAModule(shape, config, config.frozen)
    parts = {part: (0, 0) for part, _ in PARTS}
    for name, parameter in module.named_parameters():
        total, trained = parts[part_of(name)]
        parts[part_of(name)] = (total + parameter.numel(), trained + parameter.numel() * parameter.requires_grad)
    planned, losses = costs_of(config, shape, parts), []
    forward = count_flops(lambda: losses.append(module.loss(one_sample(shape))["loss"]))
    backward = count_flops(losses[0].backward)
    assert least <= planned.flops_forward / forward <= 1.02
    assert least <= planned.flops_backward / backward <= 1.02
