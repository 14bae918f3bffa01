"""Small real inputs: arrays as Examples, image files as Samples, a catalogue with the built-in metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.builtin import register_metrics
from vesselbench.plugins import Catalogue, Table
from vesselbench.types import Example, MaskFile, Sample

ExampleOf = Callable[..., Example]
WriteSamples = Callable[..., list[Sample]]


@pytest.fixture
def example_of() -> ExampleOf:
    def make(mask, fov=None, observer2=None, name="a", size=None) -> Example:
        shape = size if mask is None else mask.shape
        sample = Sample(name, Path(f"{name}.png"), None, group="patient", origin="annotations.json item 3")
        return Example(sample, np.zeros((*shape, 3), np.uint8), mask, fov, observer2)

    return make


@pytest.fixture
def catalogue() -> Catalogue:
    metrics: Table = Table("metric")
    register_metrics(lambda metric: metrics.add("builtin", metric))
    tables = (Table("model"), Table("data set format"), metrics, Table("tracker"))
    return Catalogue(*tables, plugins=())


@pytest.fixture
def write_samples(tmp_path: Path) -> WriteSamples:
    """Images whose grey value is a noisy vessel probability, of different sizes, with masks (and observers)."""

    def write(count: int, observers: bool = False, fov: bool = False, seed: int = 0) -> list[Sample]:
        generator = np.random.default_rng(seed)
        samples = []
        for number in range(count):
            height, width = 24 + 3 * number, 40 - 2 * number
            mask = np.zeros((height, width), bool)
            mask[5 + number : 9 + number] = True
            noisy = np.clip(np.where(mask, 0.55, 0.25) + generator.normal(0, 0.12, mask.shape), 0, 1)
            image = _save(tmp_path / f"image{number}.png", np.repeat((noisy * 255).astype(np.uint8)[..., None], 3, 2))
            view = np.zeros_like(mask)
            view[:, 4:-4] = True
            samples.append(
                Sample(
                    id=f"eye {number}",
                    image=image,
                    mask=MaskFile(_save(tmp_path / f"mask{number}.png", mask)),
                    group=f"child{number // 2}",
                    fov=MaskFile(_save(tmp_path / f"fov{number}.png", view)) if fov else None,
                    observer2=MaskFile(_save(tmp_path / f"other{number}.png", np.roll(mask, 1, 0)))
                    if observers
                    else None,
                )
            )
        return samples

    return write


def _save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path
