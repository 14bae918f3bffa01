"""A mended copy holds no negative that was none, and a list of what is not in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import check_data
from vesselbench.data.fixing import fix as fixing
from vesselbench.data.fixing.fix import Fixed, fix_data
from vesselbench.data.geometry import outline_key
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue

SaveImage = Callable[..., Path]
SQUARE = [4, 4, 24, 4, 24, 24, 4, 24]
RLE = {"size": [32, 32], "counts": [100, 50, 874]}
POINTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8)


def coco(root: Path, save_image: SaveImage, ids: list[Any], annotations: list[tuple[Any, Any]]) -> DataConfig:
    root.mkdir()
    for number in range(len(ids)):
        save_image(root / f"{number}.png", (32, 32), number)
    record = {
        "images": [{"id": one, "file_name": f"{n}.png", "height": 32, "width": 32} for n, one in enumerate(ids)],
        "annotations": [
            {"id": n, "category_id": 1, "image_id": one, "segmentation": what}
            for n, (one, what) in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "vessel"}],
    }
    (root / "annotations.json").write_text(json.dumps(record))
    return DataConfig(format="coco", root=root)


def fix(config: DataConfig, catalogue: Catalogue) -> Fixed:
    assert config.root is not None
    return fix_data(config, check_data(config, catalogue), catalogue, config.root.with_name("new"))


def test_images_of_one_id_are_left_out_together(tmp_path: Path, save_image: SaveImage, catalogue: Catalogue) -> None:
    config = coco(tmp_path / "data", save_image, [0, 0, 2], [(0, [SQUARE]), (2, [SQUARE])])
    fixed = fix(config, catalogue)
    assert {image: why.split(":")[0] for image, why in fixed.left_out.items()} == dict.fromkeys(
        ["0.png", "1.png"], "duplicate-image-id"
    )
    assert (fixed.images, (tmp_path / "new/0.png").exists()) == (1, False)


def test_a_boolean_is_not_the_id_one(tmp_path: Path, save_image: SaveImage, catalogue: Catalogue) -> None:
    config = coco(tmp_path / "data", save_image, [True, 1], [(1, [SQUARE]), (True, [SQUARE])])
    fixed = fix(config, catalogue)
    assert (list(fixed.left_out), fixed.images) == (["0.png"], 1)
    kept = json.loads((tmp_path / "new/annotations.json").read_text())["annotations"]
    assert [one["image_id"] for one in kept] == [1]


def test_run_lengths_keep_an_image_that_lost_an_outline(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    fixed = fix(coco(tmp_path / "data", save_image, [0], [(0, RLE), (0, [[5, 5]])]), catalogue)
    assert (fixed.left_out, fixed.images) == ({}, 1)


def test_empty_run_lengths_do_not(tmp_path: Path, save_image: SaveImage, catalogue: Catalogue) -> None:
    empty = {"size": [32, 32], "counts": [1024]}
    config = coco(tmp_path / "data", save_image, [0, 1], [(0, empty), (0, [[5, 5]]), (1, [SQUARE])])
    assert fix(config, catalogue).left_out == {"0.png": "no pixel of 'vessel' is left: it would pass for a negative"}


def test_run_lengths_of_another_aspect_stay_and_are_warned_of(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    wide = {"size": [16, 48], "counts": [100, 50, 618]}
    fixed = fix(coco(tmp_path / "data", save_image, [0], [(0, wide)]), catalogue)
    assert fixed.changes == []
    assert "rle-size" in {finding.code for finding in fixed.remaining}
    assert json.loads((tmp_path / "new/annotations.json").read_text())["annotations"][0]["segmentation"] == wide


def test_other_outlines_of_the_same_points_are_kept(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    one = [4, 4, 24, 4, 24, 24, 4, 24, 14, 14]
    other = [4, 4, 24, 4, 14, 14, 24, 24, 4, 24]
    config = coco(tmp_path / "data", save_image, [0], [(0, [one]), (0, [other])])
    assert "duplicate-polygon" not in {finding.code for finding in check_data(config, catalogue).findings}
    assert fix(config, catalogue).changes == []


@given(POINTS, st.integers(0, 7), st.booleans())
def test_equal_outlines_share_a_key_and_no_others(points: list[tuple[int, int]], start: int, back: bool) -> None:
    turned = points[start % len(points) :] + points[: start % len(points)]
    flat = [value for pair in (turned[::-1] if back else turned) for value in pair]
    key = outline_key(flat)
    rotations = [tuple(points[n:] + points[:n]) for n in range(len(points))]
    rotations += [one[::-1] for one in rotations]
    assert key == min(rotations)


def test_the_key_of_many_equal_points_takes_linear_time() -> None:
    assert len(outline_key([1.0, 1.0] * 100_000 + [2.0, 2.0])) == 100_001


def test_no_copy_stands_without_its_list(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    config = coco(tmp_path / "data", save_image, [0], [(0, [SQUARE])])
    monkeypatch.setattr(fixing, "write_record", full)
    with pytest.raises(UserError, match="No space left"):
        fix(config, catalogue)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
