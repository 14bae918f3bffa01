"""A finished run with real weights, and images to predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vesselbench import Task
from vesselbench.config import Recipe
from vesselbench.model import build_model, save_trained
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import dump_recipe, validate_recipe
from vesselbench.rundir import RunDir, file_sha256, write_text

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def make_run(catalogue, tmp_path_factory) -> Callable[..., RunDir]:
    """A run of an untrained model: predicting does not ask how good it is. Keywords change single keys of run.json."""

    def make(model: dict[str, Any], targets: tuple[str, ...] = ("vessel",), **record: Any) -> RunDir:
        run = RunDir.new(tmp_path_factory.mktemp("work"), str(model["name"]))
        recipe: Recipe = validate_recipe({"name": "net", "model": model}, catalogue)
        write_text(run.config, dump_recipe(recipe))
        weights = run.checkpoints / "1" / "weights.safetensors"
        weights.parent.mkdir(parents=True)
        module = build_model(recipe, Task(targets), catalogue)
        with torch.no_grad():  # an adapter that has not moved is refused
            for name, parameter in module.named_parameters():
                if "lora_B" in name:
                    parameter.fill_(0.01)
        save_trained(module, weights)
        facts = {
            "status": "finished",
            "model": model["name"],
            "task": {"targets": list(targets), "channels": 3},
            "prompts": {target: [f"a {target}"] for target in targets},
            "best_step": 1,
            "threshold": 0.5,
            "base_weights": {},
            "weights_sha256": file_sha256(weights),
        }
        run.update(**{**facts, **record})
        return run

    return make


@pytest.fixture(scope="session")
def unet(make_run) -> RunDir:
    return make_run({"name": "unet", "channels": [4, 8]})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an image below tmp_path; the grey of its left half is `grey`."""

    def save(name: str, size: tuple[int, int] = (20, 28), grey: int = 200) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*size, 3), 60, np.uint8)
        pixels[:, : size[1] // 2] = grey
        Image.fromarray(pixels).save(path)
        return path

    return save
