"""check_samples looks at everything and stops at nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.check import check_samples
from vesselbench.data.read import read_samples
from vesselbench.plugins import Catalogue
from vesselbench.types import MaskFile, Polygons, Sample, Size

SIZE: Size = (12, 16)


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    return read_samples(DataConfig(format="pairs", root=paired_folder), catalogue)


def test_a_sound_data_set_has_no_findings(samples: list[Sample]) -> None:
    assert check_samples(samples) == []


def test_every_broken_sample_is_an_error_and_none_stops_the_check(samples: list[Sample]) -> None:
    samples[0].image.write_bytes(b"no image")
    Image.new("L", (3, 3)).save(samples[2].mask.path)  # type: ignore[union-attr]
    samples[4] = replace(samples[4], mask=(Polygons(((1.0, 2.0),)),))
    findings = check_samples(samples)
    assert [(finding.code, finding.severity, finding.where) for finding in findings] == [
        ("unreadable", "error", samples[index].id) for index in (0, 2, 4)
    ]
    assert "is not an image" in findings[0].reason
    assert all(finding.cure for finding in findings)


def constant(path: Path, value: int) -> MaskFile:
    Image.fromarray(np.full(SIZE, value, dtype=np.uint8)).save(path)
    return MaskFile(path)


@pytest.mark.parametrize(
    ("code", "severity", "changes"),
    [
        ("empty-mask", "warning", {"mask": 0}),
        ("no-annotation", "error", {"mask": None}),
        ("full-mask", "warning", {"mask": 1}),
        ("empty-fov", "error", {"fov": 0}),
    ],
)
def test_odd_masks_are_found(
    samples: list[Sample], tmp_path: Path, code: str, severity: str, changes: dict[str, int | None]
) -> None:
    files = {key: None if value is None else constant(tmp_path / "m.png", value) for key, value in changes.items()}
    findings = check_samples([replace(samples[0], **files), *samples[1:]])
    assert [(finding.code, finding.severity) for finding in findings] == [(code, severity)]


def test_vessels_outside_the_field_of_view_are_found(samples: list[Sample], tmp_path: Path) -> None:
    field = np.zeros(SIZE, dtype=np.uint8)
    field[:6] = 255
    Image.fromarray(field).save(tmp_path / "fov.png")
    changed = replace(samples[0], fov=MaskFile(tmp_path / "fov.png"))
    assert [(finding.code, finding.severity) for finding in check_samples([changed])] == [("outside-fov", "warning")]


def test_a_foreground_value_that_stands_in_no_mask_is_an_error(samples: list[Sample]) -> None:
    def choose(*values: int) -> list[Sample]:
        return [replace(sample, mask=MaskFile(sample.mask.path, values)) for sample in samples]  # type: ignore[union-attr]

    assert check_samples(choose(255)) == []
    (finding,) = check_samples(choose(255, 254))
    assert (finding.code, finding.severity) == ("absent-value", "error")
    assert finding.reason == "254 occurs in none of 12 masks"


def test_a_flat_image_is_found(samples: list[Sample]) -> None:
    Image.new("RGB", SIZE[::-1], (9, 9, 9)).save(samples[5].image)
    assert [finding.code for finding in check_samples(samples)] == ["flat-image"]
