"""Small examples, and the tiny model at a smaller SAM size, so that a test takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vesselbench import Batch, Example, Sample
from vesselbench_sa2va.collate import Collator
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.sizes import TINY, Shape
from vesselbench_sa2va.tokens import tiny_tokenizer

SMALL = replace(TINY, sam=replace(TINY.sam, image=64, embed=16))


def _example(
    seed: int = 0, size: tuple[int, int] = (64, 64), mask: str = "bar", prompt: str = "vessel", name: str = ""
) -> Example:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    drawn = np.zeros(size, bool)
    if mask == "bar":
        drawn[size[0] // 4 : size[0] // 2] = True
        image[drawn] //= 4
    sample = Sample(f"sample{seed}{name}", Path(f"unread{seed}.png"), None, prompt=prompt)
    return Example(sample, image, None if mask == "none" else drawn)


def _config(**values: Any) -> Sa2VAConfig:
    return Sa2VAConfig.model_validate({"lora": {"r": 4, "alpha": 8, "dropout": 0}, "loss": {"points": 256}} | values)


def _module(settings: Sa2VAConfig | None = None, seed: int = 0) -> Sa2VAModule:
    settings = settings or _config()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Sa2VAModule(SMALL, settings, settings.frozen)


def _batch(examples: list[Example], settings: Sa2VAConfig | None = None, training: bool = False) -> Batch:
    collate = Collator(settings or _config(), SMALL, tiny_tokenizer(), training)
    return Batch([one.sample.id for one in examples], [one.size for one in examples], collate(examples))


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> Iterator[None]:
    """Threads cost more than they bring at this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def shape() -> Shape:
    return SMALL


@pytest.fixture
def make_example() -> Callable[..., Example]:
    """A random image of a seed and size; its mask is a thick dark "bar", "empty" or "none"."""
    return _example


@pytest.fixture
def make_config() -> Callable[..., Sa2VAConfig]:
    """Settings with few points and no dropout."""
    return _config


@pytest.fixture
def make_module() -> Callable[..., Sa2VAModule]:
    """The small module of some settings, with the weights of a seed."""
    return _module


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    return _batch
