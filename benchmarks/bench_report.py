"""Seconds for the page of a comparison: two runs on twelve test images of 1024 x 1024, all of them shown.

The predictions are noisy, the hard case: ten thousand pieces an image, each of which may be a false bridge.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.conftest import Timed
from tests.unit.conftest import RECORD
from vesselbench.compare import compare
from vesselbench.config import DataConfig, EvalConfig, Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.data.read import load_example
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.plugins import Catalogue
from vesselbench.recipes import dump_recipe
from vesselbench.report import render_comparison
from vesselbench.rundir import RunDir, write_text
from vesselbench.types import Example, Prediction

TIMES = 8
"""A phantom of 128 pixels repeated so often in both directions."""
SETS = {"train": 1, "val": 1, "test": 12}


@pytest.fixture(scope="session")
def large_images(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repeated phantoms as a data set of files."""
    root, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    examples = [load_example(sample) for sample in dataset.samples[: sum(SETS.values())]]
    names = [f"{name}{number}" for name, many in SETS.items() for number in range(many)]
    for name, example in zip(names, examples, strict=True):
        image = np.tile(example.image, (TIMES, TIMES, 1)).astype(np.int16)
        noisy = np.clip(image + rng.integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
        for folder, pixels in (("images", noisy), ("masks", np.tile(example.mask, (TIMES, TIMES)))):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{name}.png", compress_level=1)
    return root


@pytest.fixture(scope="session")
def scored_runs(large_images: Path, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> list[RunDir]:
    """Finished runs whose predictions are the reference, moved by some pixels, and noise."""
    split = {name: [f"{name}{number}" for number in range(SETS[name])] for name in ("val", "test")}
    data = {"format": "pairs", "root": str(large_images), "group": r"((?:train|val|test)\d+)", "split": split}
    read, made = load_dataset(DataConfig.model_validate(data), catalogue), []
    for name, shift in (("near", 1), ("far", 4)):
        recipe = Recipe(name=name, model={"name": "unet"}, data=data, evaluation=EvalConfig(metrics=["dice", "iou"]))
        run = RunDir.new(tmp_path_factory.getbasetemp() / "runs", name)
        write_text(run.config, dump_recipe(recipe))
        run.update(**{**RECORD, "recipe": name, "split_fingerprint": read.split.fingerprint})
        run.write_split(read.split)
        words = {"set_name": "test", "fingerprint": read.split.fingerprint, "weights_sha256": "00" * 32, "run": run}
        evaluate(
            partial(noisy_prediction, shift), read.of("test"), recipe.evaluation, catalogue, threshold=0.5, **words
        )
        made.append(run)
    return made


def noisy_prediction(shift: int, examples: list[Example]) -> list[Prediction]:
    """One false pixel in 50 beside the moved reference."""
    found = []
    for example in examples:
        noise = np.random.default_rng(shift).normal(0, 0.1, example.size)
        moved = np.where(np.roll(example.mask, shift, axis=0), 0.8, 0.3)
        found.append(Prediction(example.sample.id, np.clip(moved + noise, 0, 1).astype(np.float32)))
    return found


def bench_report(timed: Timed, scored_runs: list[RunDir], catalogue: Catalogue, tmp_path: Path) -> None:
    pages: list[Path] = []

    def render() -> None:
        folder = tmp_path / f"page{len(pages)}"
        pages.append(render_comparison(compare(scored_runs), folder, catalogue))

    timed(render, samples=SETS["test"], data=0.0, rounds=5)
    assert "test11" in pages[-1].read_text(encoding="utf-8")
    timed.note(page_megabytes=pages[-1].stat().st_size / 1e6)
