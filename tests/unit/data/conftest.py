"""Small real data sets on disk, and a catalogue of the built-in formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from vesselbench.data.formats.arcade import Arcade
from vesselbench.data.formats.coco import Coco
from vesselbench.data.formats.labelme import LabelMe
from vesselbench.data.formats.pairs import Pairs
from vesselbench.data.formats.sa2va import Sa2VAAnnotations
from vesselbench.data.formats.slices import Slices
from vesselbench.data.synthetic.phantom import Phantom
from vesselbench.hookspecs import DatasetFormat
from vesselbench.plugins import Catalogue, Table

SaveImage = Callable[..., Path]

# On a loaded machine a slow example says nothing about the code; what must be bounded sets a deadline of its own.
settings.register_profile("data", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("data")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    datasets: Table[DatasetFormat] = Table("data set format")
    for item in (Phantom(), Pairs(), Coco(), Sa2VAAnnotations(), LabelMe(), Arcade(), Slices()):
        datasets.add("builtin", item)
    return Catalogue(Table("model"), datasets, Table("metric"), Table("tracker"), ())


@pytest.fixture
def save_image() -> SaveImage:
    def save(path: Path, size: tuple[int, int] = (12, 16), seed: int = 0, **arguments: object) -> Path:
        """A noisy RGB image of (H, W) = size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, **arguments)
        return path

    return save


@pytest.fixture
def paired_folder(tmp_path: Path, save_image: SaveImage) -> Path:
    """Twelve images of six patients, p0_a .. p5_b, each with a mask of its own."""
    root = tmp_path / "pairs"
    (root / "masks").mkdir(parents=True)
    for number in range(12):
        stem = f"p{number // 2}_{'ab'[number % 2]}"
        save_image(root / "images" / f"{stem}.png", seed=number)
        mask = np.random.default_rng(100 + number).random((12, 16)) < 0.3
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / f"{stem}.png")
    return root
