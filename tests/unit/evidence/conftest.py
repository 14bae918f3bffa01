"""Runs that were scored by the real evaluation, and a bundle of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.conftest import RECORD
from vesselbench.config import DataConfig, EvalConfig, Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.evidence.bundle import Wish, write_bundle
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, write_text
from vesselbench.runs import enter_scoring
from vesselbench.types import Example, Prediction
from vesselbench.watch import Silent

METRICS = ["dice", "pixel_accuracy", "auc", "ece", "cldice", "hd95", "betti0_error", "recall_by_width"]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue("")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, catalogue) -> Dataset:
    """Ten images of five patients, three without vessels, with fields of view and a second observer."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(10):
        mask = np.zeros((48, 64), np.uint8)
        if number % 4:
            mask[10 + number : 14 + number, 5:60] = 255
            mask[5:40, 20 + number : 22 + number] = 255
        field = np.zeros((48, 64), np.uint8)
        field[3:-3, 3:-3] = 255
        image = np.clip(60 + 0.4 * mask[..., None] + rng.normal(0, 8, (48, 64, 3)), 0, 255).astype(np.uint8)
        other = np.roll(mask, 1, axis=0)
        for folder, pixels in (("images", image), ("masks", mask), ("fov", field), ("second", other)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"Meyer {number // 2}-{number}.png")
    options = {"fov": "fov", "observer2": "second"}
    config = {"format": "pairs", "root": root, "options": options, "group": r"(Meyer \d)"}
    split = {"val": ["Meyer 0"], "test": ["Meyer 1", "Meyer 2", "Meyer 3"]}
    return load_dataset(DataConfig.model_validate({**config, "split": split, "allow_leak": True}), catalogue)


@pytest.fixture(scope="session")
def scored(dataset, catalogue, ledgers, tmp_path_factory) -> Callable[[str, int], RunDir]:
    """A run that predicts the reference moved by `shift` pixels, unsure of it; entered into the ledger."""

    def make(recipe: str, shift: int) -> RunDir:
        run = RunDir.new(tmp_path_factory.getbasetemp() / "runs", recipe)
        samples = dataset.of("test")
        config = Recipe(
            name=recipe,
            model={"name": "unet"},
            data={
                "format": "pairs",
                "root": str(samples[0].image.parent.parent),
                "options": {"fov": "fov", "observer2": "second"},
                "group": r"(Meyer \d)",
            },
            evaluation=EvalConfig(metrics=METRICS, threshold=0.5),
        )
        write_text(run.config, dump_recipe(config))
        weights = f"{recipe}{shift}".encode().hex()
        run.update(**{**RECORD, "recipe": recipe, "weights_sha256": weights, "threshold": 0.5})
        run.write_split(dataset.split)

        def predict(examples: list[Example]) -> list[Prediction]:
            moved = [np.roll(example.mask, shift, axis=0) for example in examples]
            return [
                Prediction(example.sample.id, np.where(mask, 0.8, 0.3).astype(np.float32))
                for example, mask in zip(examples, moved, strict=True)
            ]

        fingerprint = dataset.split.fingerprint
        words = {"set_name": "test", "fingerprint": fingerprint, "weights_sha256": weights, "run": run}
        enter_scoring(run, config, dataset.test_set, weights, Silent())
        evaluate(predict, samples, config.evaluation, catalogue, **words)
        return run

    return make


@pytest.fixture(scope="session")
def runs(scored) -> list[RunDir]:
    return [scored("unet", 1), scored("sa2va", 3)]


@pytest.fixture(scope="session")
def bundle(runs, catalogue, tmp_path_factory) -> Path:
    to = tmp_path_factory.mktemp("out") / "evidence.zip"
    return write_bundle([run.path for run in runs], to, Wish(), catalogue, Silent())
