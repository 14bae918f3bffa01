"""Real vessels: CHASE_DB1 through configs/data/chase.yaml, when the images are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import check_samples
from vesselbench.data.read import load_example, read_samples
from vesselbench.data.splitting.split import make_split, select
from vesselbench.plugins import Catalogue
from vesselbench.recipes import read_yaml
from vesselbench.types import Sample

REPOSITORY = Path(__file__).parents[3]
ROOT = REPOSITORY / "../shared/data/CHASE_DB1"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="CHASE_DB1 is not here")


@pytest.fixture(scope="module")
def config() -> DataConfig:
    overlay = read_yaml(REPOSITORY / "configs/data/chase.yaml")
    assert list(overlay) == ["data"]
    return DataConfig.model_validate({**overlay["data"], "root": ROOT})


@pytest.fixture(scope="module")
def samples(config: DataConfig, catalogue: Catalogue) -> list[Sample]:
    return read_samples(config, catalogue)


def test_both_eyes_of_fourteen_children_are_read(samples: list[Sample]) -> None:
    assert len(samples) == 28
    assert sorted({sample.group for sample in samples}) == [f"{child:02d}" for child in range(1, 15)]


def test_images_masks_and_fields_of_view_are_as_published(samples: list[Sample]) -> None:
    example = load_example(samples[0])
    assert example.image.shape == (960, 999, 3)
    assert example.mask is not None
    assert example.fov is not None
    assert example.observer2 is not None
    assert 0.05 < example.mask.mean() < 0.09
    assert 0.5 < example.fov.mean() < 0.9
    assert example.mask[example.fov].mean() > example.mask[~example.fov].mean()
    overlap = 2 * (example.mask & example.observer2).sum() / (example.mask.sum() + example.observer2.sum())
    assert 0.7 < overlap < 0.9


def test_the_last_eight_images_are_the_test_set(samples: list[Sample], config: DataConfig) -> None:
    split = make_split(samples, config.split, "chase")
    assert split.sets["test"] == tuple(sample.id for sample in samples[20:])
    assert [len(select(samples, split, name)) for name in ("train", "val", "test")] == [18, 2, 8]
    assert np.array_equal(sorted(id_ for ids in split.sets.values() for id_ in ids), [s.id for s in samples])


def test_the_check_finds_no_error(samples: list[Sample]) -> None:
    assert [finding for finding in check_samples(samples[::7]) if finding.severity == "error"] == []
