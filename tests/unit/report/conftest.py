"""A small data set on disk in the pairs format, and finished runs with predictions of its test set."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser, find_chromium
from vesselbench.config import DataConfig
from vesselbench.data.formats.pairs import Pairs
from vesselbench.data.masks import mask_sha256
from vesselbench.data.read import load_example, read_samples
from vesselbench.data.splitting.split import make_split, select
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.rundir import RunDir, write_bytes
from vesselbench.types import Example


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue("")


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed (.ci/run installs it)")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """Nine images of nine patients, 48 x 64, a bright bar as vessel, a field of view without the border."""
    rng = np.random.default_rng(0)
    for number in range(9):
        mask = np.zeros((48, 64), np.uint8)
        mask[10 + number : 16 + number, 5:60] = 255
        field = np.zeros((48, 64), np.uint8)
        field[3:-3, 3:-3] = 255
        image = np.clip(60 + 0.4 * mask[..., None] + rng.normal(0, 8, (48, 64, 3)), 0, 255).astype(np.uint8)
        for folder, pixels in (("images", image), ("masks", mask), ("fov", field)):
            write_bytes(tmp_path / "data" / folder / f"Meyer {number}.png", png(pixels))
    return DataConfig.model_validate(
        {
            "format": Pairs.name,
            "root": tmp_path / "data",
            "options": {"fov": "fov"},
            "group": r"(Meyer \d)",
            "split": {"val": 0.2, "test": 0.6},
        }
    )


@pytest.fixture
def write_predictions(write_run, data: DataConfig, catalogue: Catalogue) -> Callable[..., RunDir]:
    """A run whose predictions are the reference moved down by `shift` pixels; `empty` predictions are empty."""

    def write(recipe: str, shift: int, empty: int = 0, **more) -> RunDir:
        samples = read_samples(data, catalogue)
        split = make_split(samples, data.split, "pairs")
        values, hashes, groups, cases, masks = {}, {}, {}, {}, {}
        for number, sample in enumerate(select(samples, split, "test")):
            example = load_example(sample)
            mask = np.roll(example.mask, shift + number % 2, axis=0) & (number >= empty)
            masks[sample.id], hashes[sample.id], groups[sample.id] = mask, mask_sha256(mask), sample.group
            values[sample.id] = {"dice": dice(mask, example), "iou": float((mask & example.mask).any())}
            cases[sample.id] = "ok" if mask.any() else "empty_prediction"
        run = write_run(
            recipe,
            values,
            groups,
            fingerprint=split.fingerprint,
            train=split.sets["train"],
            val=split.sets["val"],
            hashes=hashes,
            cases=cases,
            config={"data": data.model_dump(mode="json")},
            **more,
        )
        for sample_id, mask in masks.items():
            write_bytes(run.prediction_file("test", sample_id), png(mask.astype(np.uint8) * 255))
        return run

    return write


def dice(mask: np.ndarray, example: Example) -> float:
    inside = example.fov
    together = mask[inside].sum() + example.mask[inside].sum()
    return float(2 * (mask & example.mask)[inside].sum() / together)
