"""Decoded examples in memory are the examples on disk."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from vesselbench.config import DataConfig
from vesselbench.data.cache import MaskCache
from vesselbench.data.memory import ExampleSource, PackedMask, decoded_bytes
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Sample


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    found = read_samples(DataConfig(format="pairs", root=paired_folder), catalogue)
    return [replace(found[0], fov=found[1].mask), *found[1:]]


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_a_packed_mask_unpacks_to_itself(mask: np.ndarray) -> None:
    assert np.array_equal(PackedMask.of(mask).unpack(), mask)


def test_kept_and_decoded_examples_are_equal(samples: list[Sample]) -> None:
    kept, decoded = ExampleSource(samples), ExampleSource(samples, limit=0)
    assert kept.kept is not None
    assert decoded.kept is None
    for index, sample in enumerate(samples):
        expected = load_example(sample)
        for found in (kept[index], decoded[index]):
            assert found.sample == sample
            assert np.array_equal(found.image, expected.image)
            assert np.array_equal(found.mask, expected.mask)
            assert (found.fov is None) == (expected.fov is None)
    assert np.array_equal(kept[0].fov, load_example(samples[0]).fov)


def test_what_is_kept_is_not_decoded_again(samples: list[Sample]) -> None:
    source = ExampleSource(samples)
    samples[0].image.unlink()
    assert source[0].image.shape == (12, 16, 3)
    with pytest.raises(UserError, match="does not exist"):
        load_example(samples[0])


def test_the_bytes_are_foretold_from_the_headers(samples: list[Sample]) -> None:
    assert decoded_bytes(samples) == 12 * (12 * 16 * 3 + 12 * 16 // 8) + 12 * 16 // 8


def test_samples_of_one_image_share_its_pixels(samples: list[Sample]) -> None:
    twice = [samples[0], replace(samples[0], id="again")]
    source = ExampleSource(twice)
    assert source[0].image is source[1].image
    assert decoded_bytes(twice) == 12 * 16 * 3 + 4 * 12 * 16 // 8


def test_which_way_was_taken_is_said(samples: list[Sample], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ExampleSource(samples)
        ExampleSource(samples, limit=100)
    assert "12 training samples are decoded and kept in memory" in caplog.text
    assert "each is decoded when it is used" in caplog.text


def test_examples_by_way_of_a_cache_are_those_of_the_files(
    samples: list[Sample], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = MaskCache(tmp_path / "cache")
    with caplog.at_level(logging.INFO):
        sources = [ExampleSource(samples, limit, cache) for limit in (1 << 30, 0)]
    assert "its masks from" in caplog.text
    assert (cache.counts.decoded, cache.counts.found) == (12, 1)  # the field of view is another sample's mask
    for index, sample in enumerate(samples):
        expected = load_example(sample)
        for source in sources:
            assert np.array_equal(source[index].image, expected.image)
            assert np.array_equal(source[index].mask, expected.mask)
    assert cache.counts.decoded == 12


def test_a_mask_that_is_gone_stops_before_the_first_step_with_or_without_room(
    samples: list[Sample], tmp_path: Path
) -> None:
    cache = MaskCache(tmp_path / "cache")
    samples[3].mask.path.unlink()
    for limit in (1 << 30, 0):
        with pytest.raises(UserError, match="does not exist"):
            ExampleSource(samples, limit, cache)
