"""The format arcade: the folder tree, one vessel target or the segments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vesselbench.data.findings import collecting
from vesselbench.data.formats.arcade import Arcade
from vesselbench.errors import UserError
from vesselbench.types import Sample

LETTERED = ["9a", "10a", "12a", "12b", "14a", "14b", "16a", "16b", "16c"]
NAMES = [*map(str, range(1, 10)), "9a", *map(str, range(10, 17)), *LETTERED[1:], "stenosis"]


def document(categories: list[int]) -> dict[str, Any]:
    annotations = [
        {"id": 1, "image_id": 1, "category_id": number, "segmentation": [[n, 1, n + 9, 1, n + 9, 9]]}
        for n, number in enumerate(categories)
    ]
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 32, "width": 64} for n in (1, 2)],
        "annotations": annotations,
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(NAMES)],
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for task, categories in (("syntax", [1, 5, 10]), ("stenosis", [26, 26])):
        for name in ("train", "val", "test"):
            folder = tmp_path / task / name / "annotations"
            folder.mkdir(parents=True)
            (folder / f"{name}.json").write_text(json.dumps(document(categories)))
    return tmp_path


def read(root: Path, **options: Any) -> list[Sample]:
    return list(Arcade().read(root, options))


def test_all_segments_of_an_image_are_one_vessel(tree: Path) -> None:
    samples = read(tree)
    assert [sample.id for sample in samples] == ["train/1", "train/2", "val/1", "val/2", "test/1", "test/2"]
    assert {(sample.target, sample.prompt) for sample in samples} == {("vessel", "blood vessel")}
    assert [len(sample.mask or ()) for sample in samples[:2]] == [3, 0]
    assert samples[2].image == tree / "syntax/val/images/1.png"
    assert samples[2].origin == "syntax/val/annotations/val.json annotations[0, 1, 2]"


def test_segments_can_be_targets_of_their_own(tree: Path) -> None:
    samples = read(tree, per_class=True, sets=["val"])
    assert len(samples) == 2 * 25
    found = {sample.target: sample for sample in samples if sample.mask}
    assert sorted(found) == ["segment 1", "segment 5", "segment 9a"]
    assert found["segment 9a"].id == "val/1:segment 9a"
    assert found["segment 9a"].prompt == "coronary segment 9a"


def test_the_stenosis_task_has_its_own_target(tree: Path) -> None:
    samples = read(tree, task="stenosis", sets=["test"], prompt="stenotic vessel")
    assert [(sample.target, sample.prompt, len(sample.mask or ())) for sample in samples] == [
        ("stenosis", "stenotic vessel", 2),
        ("stenosis", "stenotic vessel", 0),
    ]


def test_a_set_that_is_not_there_is_refused_or_found(tree: Path) -> None:
    (tree / "syntax/val/annotations/val.json").unlink()
    with pytest.raises(UserError, match=r"syntax/val/annotations/val\.json: this annotation file") as caught:
        read(tree)
    assert "data.options.sets" in caught.value.hint
    with collecting() as findings:
        assert len(read(tree)) == 4
    assert [finding.code for finding in findings if finding.severity == "error"] == ["missing-file"]


def test_the_equal_ids_of_the_published_files_do_not_mix_images(tree: Path) -> None:
    with collecting() as findings:
        read(tree, sets=["train"])
    assert [finding.code for finding in findings] == ["duplicate-annotation-id"] * 2
