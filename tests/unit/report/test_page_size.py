"""The page of a large test set stays small enough to be sent by mail."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.report.conftest import png
from vesselbench.compare import compare
from vesselbench.comparing.comparison import Comparison
from vesselbench.config import DataConfig, EvalConfig
from vesselbench.data.fingerprint import fingerprint
from vesselbench.data.masks import mask_sha256
from vesselbench.data.read import load_example, read_samples
from vesselbench.plugins import Catalogue
from vesselbench.report import render_comparison
from vesselbench.report.choice import MOST
from vesselbench.report.overlay import SIDE
from vesselbench.types import BoolMask

IMAGES, DIFFERENT, REPEATED = 150, 3, 8
"""Test images; how many of them differ, the others being the same files; phantoms side by side, for 1024 pixels."""
MOST_BYTES = 15_000_000
WIDTHS = ("0-2px", "2-3px", "3-4px", "4-6px", "6-9px", "9px+")
METRICS = (
    *EvalConfig().metrics,
    *(f"{name}@{width}" for name in ("recall", "precision", "cldice") for width in WIDTHS),
)
DECLARED = {"primary": "dice", "margin": 0.01, "family": ["cldice", "nsd", "betti0_error"], "unit": "patient"}


@pytest.fixture
def many_large(write_run, catalogue: Catalogue, tmp_path: Path) -> Comparison:
    """Two runs on 150 noisy colour images of 1024 x 1024 full of vessels, with every default metric. The predictions
    are moved and speckled, so that no picture compresses well."""
    data = _write_data(tmp_path / "large", catalogue)
    samples = read_samples(data, catalogue)
    references = [load_example(sample).mask for sample in samples[:DIFFERENT]]
    runs = []
    for name, shift in (("sa2va", 3), ("unet", 1)):
        rng = np.random.default_rng(shift)
        predicted = [_faulty(mask, shift, rng) for mask in references if mask is not None]
        hashes, pictures = [mask_sha256(mask) for mask in predicted], [png(mask) for mask in predicted]
        run = write_run(
            name,
            {sample.id: {metric: rng.random() for metric in METRICS} for sample in samples},
            {sample.id: sample.group for sample in samples},
            fingerprint=fingerprint(samples),
            hashes={sample.id: hashes[number % DIFFERENT] for number, sample in enumerate(samples)},
            config={"data": data.model_dump(mode="json")},
            declared=DECLARED,
        )
        _share(run.prediction_file("test", samples[0].id).parent, pictures, [f"{sample.id}.png" for sample in samples])
        runs.append(run)
    return compare(runs)


def _write_data(root: Path, catalogue: Catalogue) -> DataConfig:
    """Phantoms side by side in the colours of a retina, as a data set of files."""
    options = {"images": DIFFERENT, "per_group": 1}
    drawn = DataConfig.model_validate({"format": "phantom", "root": root / "drawn", "options": options})
    rng, images, masks = np.random.default_rng(0), [], []
    for sample in read_samples(drawn, catalogue):
        example = load_example(sample)
        light = np.tile(example.image, (REPEATED, REPEATED, 1)) * np.array([1, 0.6, 0.3])
        noisy = np.clip(light + rng.normal(0, 5, light.shape), 0, 255).astype(np.uint8)
        images.append(png(noisy))
        assert example.mask is not None
        masks.append(png(np.tile(example.mask, (REPEATED, REPEATED))))
    names = [f"p{number // 5:02d}-{number:03d}.png" for number in range(IMAGES)]
    _share(root / "images", images, names)
    _share(root / "masks", masks, names)
    return DataConfig.model_validate({"format": "pairs", "root": root, "group": r"(p\d\d)"})


def _share(folder: Path, contents: Sequence[bytes], names: Sequence[str]) -> None:
    """Files of these names, which are the contents in turn; equal ones lie on the disk once."""
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        if number < len(contents):
            (folder / name).write_bytes(contents[number])
        else:
            os.link(folder / names[number % len(contents)], folder / name)


def _faulty(mask: BoolMask, shift: int, rng: np.random.Generator) -> BoolMask:
    faulty: BoolMask = np.roll(mask, shift, axis=0) ^ (rng.random(mask.shape) < 1 / 500)
    return faulty


def test_a_page_of_two_runs_on_150_large_images_is_below_15_megabytes(many_large, catalogue, tmp_path):
    page = render_comparison(many_large, tmp_path / "out", catalogue)
    shown = re.sub(r"base64,[^\"]+", "", page.read_text(encoding="utf-8"))
    assert [name for name in many_large.images if name not in shown] == []
    pictures = sorted((page.parent / "panels").glob("[0-9]*"))
    assert len(pictures) == MOST * 2 * (2 + 2)
    for path in pictures:
        with Image.open(path) as picture:
            assert max(picture.size) == SIDE
    size = page.stat().st_size
    assert size > sum(path.stat().st_size for path in pictures)
    assert size < MOST_BYTES
