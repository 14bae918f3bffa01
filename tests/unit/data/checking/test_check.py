"""check_samples looks at everything and stops at nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import check_data, check_samples
from vesselbench.data.read import read_samples
from vesselbench.grids import Grids, whole
from vesselbench.plugins import Catalogue
from vesselbench.types import MaskFile, Polygons, Sample, Size

SIZE: Size = (12, 16)
ARCADE = Path(__file__).parents[4] / "../shared/data/ARCADE-stenosis-annotations"


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    return read_samples(DataConfig(format="pairs", root=paired_folder), catalogue)


def test_a_sound_data_set_has_no_findings(samples: list[Sample]) -> None:
    assert check_samples(samples) == []


def test_every_broken_sample_is_an_error_and_none_stops_the_check(samples: list[Sample]) -> None:
    samples[0].image.write_bytes(b"no image")
    Image.new("L", (3, 3)).save(samples[2].mask.path)  # type: ignore[union-attr]
    samples[4] = replace(samples[4], mask=(Polygons(((1.0, 2.0),)),))
    findings = check_samples(samples, samples[0].image.parents[1])
    assert [(finding.code, finding.file, finding.sample) for finding in findings] == [
        ("unreadable", "images/p0_a.png", "p0_a"),
        ("mask-size", "masks/p1_a.png", "p1_a"),
        ("too-few-points", "masks/p2_a.png", "p2_a"),
    ]
    assert findings[0].reason == "images/p0_a.png is not an image"
    assert all(finding.cure and finding.severity == "error" for finding in findings)


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
    codes = [finding.code for finding in check_samples(samples)]
    assert codes == ["flat-image", "mixed-modes"]  # it is grey among coloured ones


def mixed_folder(root: Path, save_image: Callable[..., Path]) -> DataConfig:
    """Six sound images, and one of each: broken image, short run lengths, text for a number, copy of an outline."""
    square = [2, 2, 9, 2, 9, 9, 2, 9]
    annotations = [{"id": n, "image_id": n, "category_id": 0, "segmentation": [square]} for n in range(6)]
    annotations[1]["segmentation"] = {"size": [12, 16], "counts": [5, 6]}
    annotations[2]["segmentation"] = [[1, 1, "x", 2, 3, 3]]
    annotations[3]["segmentation"] = [square, square[2:] + square[:2]]
    annotations.append({"id": 9, "image_id": 4, "category_id": 0, "segmentation": [[6, 6, 12, 6, 12, 10, 6, 10]]})
    images = [{"id": n, "file_name": f"{n}.png", "height": 12, "width": 16} for n in range(6)]
    for number in range(6):
        save_image(root / f"{number}.png", SIZE, number)
    (root / "0.png").write_bytes((root / "0.png").read_bytes()[:300])
    record = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "vessel"}]}
    (root / "annotations.json").write_text(json.dumps(record))
    return DataConfig(format="coco", root=root)


def test_one_check_finds_faults_of_records_pixels_and_shapes(
    tmp_path: Path, save_image: Callable[..., Path], catalogue: Catalogue
) -> None:
    seen: list[tuple[int, int]] = []
    config = mixed_folder(tmp_path, save_image)
    check = check_data(config, catalogue, progress=lambda done, total: seen.append((done, total)))
    assert Counter((finding.code, finding.file, finding.index) for finding in check.findings) == Counter(
        [
            ("rle-short", "annotations.json", "annotations[1].segmentation"),
            ("wrong-kind", "annotations.json", "annotations[2].segmentation[0][2]"),
            ("truncated-image", "0.png", ""),
            ("duplicate-polygon", "annotations.json", "annotations[3] part[1]"),
            ("overlapping-polygons", "annotations.json", "annotations[6]"),
        ]
    )
    overlap = next(finding for finding in check.findings if finding.code == "overlapping-polygons")
    assert overlap.reason == "9 pixels are also in annotations[4]"
    assert check.failed
    assert [sample.id for sample in check.samples] == ["1", "2", "3", "4", "5"]
    assert seen[-1] == (6, 6)


def test_an_image_that_lost_a_shape_is_not_called_a_negative(
    tmp_path: Path, save_image: Callable[..., Path], catalogue: Catalogue
) -> None:
    check = check_data(mixed_folder(tmp_path, save_image), catalogue)
    assert "empty-mask" not in {finding.code for finding in check.findings}
    assert check.negatives == 0


def test_annotations_are_checked_without_their_images(
    tmp_path: Path, save_image: Callable[..., Path], catalogue: Catalogue
) -> None:
    config = mixed_folder(tmp_path, save_image)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    codes = {finding.code for finding in check_data(config, catalogue, annotations_only=True).findings}
    assert codes == {"rle-short", "wrong-kind", "duplicate-polygon", "overlapping-polygons"}


def test_thin_vessels_are_held_against_the_grids_of_a_model(
    tmp_path: Path, save_image: Callable[..., Path], catalogue: Catalogue
) -> None:
    (tmp_path / "masks").mkdir()
    for number in range(3):
        save_image(tmp_path / "images" / f"{number}.png", (64, 64), number)
        mask = np.zeros((64, 64), np.uint8)
        mask[:, 10::9] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    config = DataConfig(format="pairs", root=tmp_path)
    assert check_data(config, catalogue, grids_of=whole).findings == ()
    coarse = check_data(config, catalogue, grids_of=lambda size: Grids((8, 8), (8, 8), (8, 8))).findings
    assert [finding.code for finding in coarse] == ["thin-structures"]
    assert "up to 2 px" in coarse[0].reason


@pytest.mark.skipif(not ARCADE.is_dir(), reason="ARCADE's annotations are not beside the checkout")
def test_arcade_is_checked_without_its_images(catalogue: Catalogue) -> None:
    named = sorted(path.relative_to(ARCADE).as_posix() for path in ARCADE.rglob("*.json"))
    options = {"annotations": named[0]}
    check = check_data(DataConfig(format="coco", root=ARCADE, options=options), catalogue, annotations_only=True)
    assert check.images > 50
    assert all(finding.file == named[0] for finding in check.findings)


def test_an_image_that_may_have_lost_its_shapes_is_no_negative(
    paired_folder: Path, tmp_path: Path, catalogue: Catalogue
) -> None:
    names = sorted(path.name for path in (paired_folder / "images").iterdir())
    record = {
        "images": [{"id": n, "file_name": name, "height": 12, "width": 16} for n, name in enumerate(names)],
        "annotations": [{"image_id": 0, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}],
        "categories": [{"id": 1, "name": "vessel"}],
    }
    config = DataConfig(format="coco", root=paired_folder, options={"images": "images"})
    (paired_folder / "annotations.json").write_text(json.dumps(record))
    check = check_data(config, catalogue)
    assert (check.negatives, Counter(f.code for f in check.findings)["empty-mask"]) == (11, 11)
    record["annotations"].append({"image_id": 99, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]})
    (paired_folder / "annotations.json").write_text(json.dumps(record))
    check = check_data(config, catalogue)
    assert check.negatives == 0
    assert [f.code for f in check.findings if f.severity != "info"] == ["unknown-image"]


def test_the_summary_tells_the_groups_or_proposes_them(paired_folder: Path, catalogue: Catalogue) -> None:
    config = DataConfig(format="pairs", root=paired_folder)
    assert "no groups: each of 12 images" in check_data(config, catalogue).summary()
    assert "data.group='" in check_data(config, catalogue).summary()
    assert "6 groups" in check_data(config.model_copy(update={"group": r"(p\d)_"}), catalogue).summary()
