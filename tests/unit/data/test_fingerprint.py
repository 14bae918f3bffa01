"""The fingerprint covers ids, groups, image bytes and decoded masks, and nothing else: each one changed in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.fingerprint import FingerprintLines, fingerprint, fraction_of, vessel_fraction
from vesselbench.data.masks import decode, encode_rle
from vesselbench.data.read import read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.rundir import file_sha256
from vesselbench.types import MaskFile, Sample


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    return read_samples(DataConfig(format="pairs", root=paired_folder, group=r"(p\d+)_"), catalogue)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def other_byte(sample: Sample) -> Sample:
    """The same pixels in a file of other bytes."""
    Image.fromarray(pixels_of(sample.image)).save(sample.image, compress_level=1)
    return sample


def other_pixel(sample: Sample) -> Sample:
    pixels = pixels_of(sample.image)
    pixels[3, 4] ^= 1
    Image.fromarray(pixels).save(sample.image)
    return sample


def other_mask_pixel(sample: Sample) -> Sample:
    assert isinstance(sample.mask, MaskFile)
    mask = pixels_of(sample.mask.path)
    mask[0, 0] = 255 - mask[0, 0]
    Image.fromarray(mask).save(sample.mask.path)
    return sample


CHANGES: dict[str, Callable[[Sample], Sample]] = {
    "id": lambda sample: replace(sample, id="other"),
    "group": lambda sample: replace(sample, group="other"),
    "target": lambda sample: replace(sample, target="vein"),
    "image bytes": other_byte,
    "image pixel": other_pixel,
    "mask pixel": other_mask_pixel,
    "no mask": lambda sample: replace(sample, mask=None),
    "field of view": lambda sample: replace(sample, fov=sample.mask),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_fingerprint_changes_with(samples: list[Sample], what: str) -> None:
    before = fingerprint(samples)
    assert fingerprint([CHANGES[what](samples[0]), *samples[1:]]) != before


def test_two_groups_exchanged_are_another_data_set(samples: list[Sample]) -> None:
    a, b = samples[0], samples[2]
    exchanged = [replace(a, group=b.group), replace(b, group=a.group)]
    assert a.group != b.group
    assert fingerprint([*exchanged, samples[1], *samples[3:]]) != fingerprint(samples)


def test_two_masks_exchanged_are_another_data_set(samples: list[Sample]) -> None:
    a, b = samples[0], samples[2]
    exchanged = [replace(a, mask=b.mask), replace(b, mask=a.mask)]
    assert fingerprint([*exchanged, samples[1], *samples[3:]]) != fingerprint(samples)


def test_the_fingerprint_is_blind_to_the_encoding_of_a_mask_and_to_the_prompt(samples: list[Sample]) -> None:
    first = samples[0]
    assert first.mask is not None
    coded = replace(first, mask=(encode_rle(decode(first.mask, (12, 16), "x")),), prompt="other words")
    assert fingerprint([coded, *samples[1:]]) == fingerprint(samples)


def test_an_image_of_several_samples_is_hashed_once_and_as_its_bytes(samples: list[Sample]) -> None:
    lines = FingerprintLines()
    assert lines.image_sha256(samples[0].image) == file_sha256(samples[0].image)
    samples[0].image.unlink()
    lines.add(samples[0], None, None)
    with pytest.raises(UserError, match="cannot be read"):
        FingerprintLines().add(samples[0], None, None)


def test_the_vessel_fraction_is_that_of_the_field_of_view(samples: list[Sample]) -> None:
    assert samples[0].mask is not None
    mask = decode(samples[0].mask, (12, 16), "x")
    assert vessel_fraction(samples[0]) == pytest.approx(mask.mean())
    assert vessel_fraction(replace(samples[0], fov=samples[0].mask)) == 1
    assert vessel_fraction(replace(samples[0], mask=None)) == 0
    assert fraction_of(mask, np.zeros_like(mask)) == 0
