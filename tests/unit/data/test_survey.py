"""Read to the end: every fault a finding, every sound sample kept."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vesselbench.config import DataConfig
from vesselbench.data.read import load_example, read_samples
from vesselbench.data.survey import take_survey
from vesselbench.errors import UserError
from vesselbench.hookspecs import DatasetFormat
from vesselbench.plugins import Catalogue, Table
from vesselbench.types import Sample

SaveImage = Callable[..., Path]
STENOSIS = Path(__file__).parents[3] / "../shared/data/ARCADE-stenosis-annotations"
SQUARE = [2, 2, 9, 2, 9, 9, 2, 9]


def document(count: int, size: int = 32) -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "height": size, "width": size} for n in range(count)],
        "annotations": [{"id": n, "image_id": n, "category_id": 0, "segmentation": [SQUARE]} for n in range(count)],
        "categories": [{"id": 0, "name": "vessel"}],
    }


@pytest.fixture
def folder(tmp_path: Path, save_image: SaveImage) -> Path:
    for number in range(6):
        save_image(tmp_path / f"{number}.png", (32, 32), number)
    return tmp_path


def survey(
    root: Path, record: Any, catalogue: Catalogue, **values: Any
) -> tuple[list[str], list[tuple[str, str, str]]]:
    (root / "annotations.json").write_text(json.dumps(record))
    taken = take_survey(DataConfig(format="coco", root=root), catalogue, **values)
    return [sample.id for sample in taken.samples], [(f.code, f.file, f.index) for f in taken.findings]


def test_a_sound_data_set_has_no_findings_and_the_same_samples(folder: Path, catalogue: Catalogue) -> None:
    assert survey(folder, document(6), catalogue) == (["0", "1", "2", "3", "4", "5"], [])
    config = DataConfig(format="coco", root=folder)
    assert list(take_survey(config, catalogue).samples) == read_samples(config, catalogue)


def test_each_fault_is_found_where_it_is_and_costs_only_its_record(folder: Path, catalogue: Catalogue) -> None:
    record = document(6)
    record["annotations"][0]["segmentation"] = [[5, 5]]
    record["annotations"][1]["segmentation"] = [[1, 1, float("nan"), 2, 3, 3]]
    record["annotations"][2]["id"] = 1
    record["annotations"][3]["image_id"] = 77
    record["images"][4]["height"] = "x"
    record["images"][5]["file_name"] = "gone.png"
    ids, findings = survey(folder, record, catalogue)
    assert ids == ["0", "1", "2", "3"]
    assert findings == [
        ("wrong-kind", "annotations.json", "images[4].height"),
        ("too-few-points", "annotations.json", "annotations[0].segmentation[0]"),
        ("not-finite", "annotations.json", "annotations[1].segmentation[0]"),
        ("duplicate-annotation-id", "annotations.json", "annotations[2].id"),
        ("unknown-image", "annotations.json", "annotations[3]"),
        ("missing-file", "gone.png", ""),
        ("image-not-listed", "4.png", ""),
        ("image-not-listed", "5.png", ""),
    ]


def test_samples_that_lost_a_shape_are_known(folder: Path, catalogue: Catalogue) -> None:
    record = document(6)
    record["annotations"][3]["segmentation"] = [[5, 5]]
    (folder / "annotations.json").write_text(json.dumps(record))
    taken = take_survey(DataConfig(format="coco", root=folder), catalogue)
    assert taken.damaged == {"3"}
    assert taken.samples[3].mask == ()


def test_another_size_than_the_images_is_a_finding_per_image_with_the_count(folder: Path, catalogue: Catalogue) -> None:
    record = document(6, size=50)
    record["annotations"].append(dict(record["annotations"][0], id=99))
    (folder / "annotations.json").write_text(json.dumps(record))
    taken = take_survey(DataConfig(format="coco", root=folder), catalogue)
    assert Counter(finding.code for finding in taken.findings) == {"size-differs": 6}
    assert taken.findings[0].reason == "2 shapes annotated at 50x50, the image is 32x32 (HxW)"
    assert load_example(taken.samples[0]).mask is not None


def test_shapes_without_a_stated_size_are_held_against_the_image(folder: Path, catalogue: Catalogue) -> None:
    far, beyond = [40, 2, 60, 2, 60, 9], [2, 2, 50, 2, 50, 9]
    entries = [{"image": "0.png", "mask": [far, SQUARE], "text": ["v", "v"]}]
    entries += [{"image": "1.png", "mask": [beyond], "text": ["v"]}]
    (folder / "annotations.json").write_text(json.dumps(entries))
    taken = take_survey(DataConfig(format="sa2va", root=folder, options={"images": "."}), catalogue)
    found = [(f.code, f.index, f.sample) for f in taken.findings if f.code != "image-not-listed"]
    assert found == [("outside-image", "[0] shape[0]", "0"), ("partly-outside", "[1][0]", "1")]
    assert [len(sample.mask or ()) for sample in taken.samples] == [1, 1]


def test_links_that_lead_out_and_equal_ids_are_found(folder: Path, catalogue: Catalogue, save_image: SaveImage) -> None:
    root = folder / "root"
    root.mkdir()
    os.symlink(folder / "0.png", root / "0.png")
    save_image(root / "1.png", (32, 32))
    save_image(root / "1.jpg", (32, 32))
    record = document(3)
    record["images"][2]["file_name"] = "1.jpg"
    ids, findings = survey(root, record, catalogue)
    assert ids == ["1"]
    assert [finding[:2] for finding in findings] == [
        ("duplicate-sample", "annotations.json"),
        ("outside-root", "0.png"),
    ]


def test_an_image_without_a_group_is_a_finding(folder: Path, catalogue: Catalogue) -> None:
    (folder / "annotations.json").write_text(json.dumps(document(6)))
    taken = take_survey(DataConfig(format="coco", root=folder, group="([0-3])"), catalogue)
    assert [(f.code, f.sample) for f in taken.findings] == [("group-not-found", "4"), ("group-not-found", "5")]
    assert [sample.group for sample in taken.samples] == ["0", "1", "2", "3"]
    with pytest.raises(UserError, match="no regular expression"):
        take_survey(DataConfig(format="coco", root=folder, group="(("), catalogue)


def test_a_file_that_is_no_json_is_a_finding_not_the_end(folder: Path, catalogue: Catalogue) -> None:
    (folder / "annotations.json").write_bytes(b"{")
    taken = take_survey(DataConfig(format="coco", root=folder), catalogue)
    assert [finding.code for finding in taken.findings] == ["not-json"]
    assert taken.samples == ()


def test_a_folder_that_is_not_there_stays_an_error(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        take_survey(DataConfig(format="coco", root=tmp_path / "nowhere"), catalogue)


class Foreign:
    """A format of somebody else's, which knows no findings."""

    name = "foreign"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        yield Sample("0", root / "0.png", ())
        raise UserError("line 7 is broken", "mend line 7")


def test_a_foreign_formats_refusal_is_one_finding_and_what_was_read_stands(folder: Path) -> None:
    formats: Table[DatasetFormat] = Table("data set format")
    formats.add("foreign", Foreign())
    catalogue = Catalogue(Table("model"), formats, Table("metric"), Table("tracker"), ())
    taken = take_survey(DataConfig(format="foreign", root=folder), catalogue)
    assert [sample.id for sample in taken.samples] == ["0"]
    assert [(f.code, f.reason) for f in taken.findings if f.severity == "error"] == [("refused", "line 7 is broken")]


def test_the_built_in_phantom_is_without_findings(catalogue: Catalogue, tmp_path: Path) -> None:
    config = DataConfig(root=tmp_path, options={"images": 6, "size": 64})
    assert take_survey(config, catalogue).findings == ()


@pytest.mark.skipif(not STENOSIS.is_dir(), reason="the ARCADE stenosis annotations are not here")
def test_arcades_real_files_are_read_without_their_images_and_their_equal_ids_found(catalogue: Catalogue) -> None:
    options = {"annotations": ["train.json", "val.json", "test.json"]}
    config = DataConfig(format="coco", root=STENOSIS, options=options)
    taken = take_survey(config, catalogue, annotations_only=True)
    assert len(taken.samples) == 1500
    assert sum(len(sample.mask or ()) for sample in taken.samples) == 1625 + 406 + 386
    assert Counter((f.code, f.file) for f in taken.findings) == {
        ("duplicate-annotation-id", "train.json"): 560,
        ("self-crossing", "train.json"): 2,
    }


def test_groups_of_a_table_are_read_and_its_misfits_are_findings(folder: Path, catalogue: Catalogue) -> None:
    record = document(6)
    record["annotations"][5]["segmentation"] = [[5, 5]]
    (folder / "annotations.json").write_text(json.dumps(record))
    (folder / "5.png").unlink()
    table = folder / "groups.csv"
    config = DataConfig(format="coco", root=folder, groups=table)
    rows = ["0.png,a", "1.png,a", "2.png,b", "3.png,b", "4.png,c", "5.png,c"]
    table.write_text("\n".join(["file,group", *rows]))
    taken = take_survey(config, catalogue)
    assert [sample.group for sample in taken.samples] == ["a", "a", "b", "b", "c"]
    assert {finding.code for finding in taken.findings} == {"too-few-points", "missing-file"}  # its row is no misfit
    table.write_text("\n".join(["file,group", *rows[1:4], "9.png,c", "1.png,z", "4.png,", "5.png,c"]))
    taken = take_survey(config, catalogue)
    found = [(f.index, f.sample) for f in taken.findings if f.code in ("table-unfit", "group-not-found")]
    assert found == [("line 5", ""), ("line 6", ""), ("line 7", ""), ("", "0"), ("", "4")]
    assert [sample.id for sample in taken.samples] == ["1", "2", "3"]
    table.write_text("file,patient\n0.png,a\n")
    with pytest.raises(UserError, match="has no column 'group'"):
        take_survey(config, catalogue)


def test_a_proposal_of_groups_is_said_unless_they_are_known(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    record = document(8)
    for number, image in enumerate(record["images"]):
        image["file_name"] = f"p{number // 2}_{number % 2}.png"
        save_image(tmp_path / image["file_name"], (32, 32), number)
    (tmp_path / "annotations.json").write_text(json.dumps(record))
    config = DataConfig(format="coco", root=tmp_path)
    assert "set data.group='(?:^|/)([^/\\d]*\\d+)[^/]*$' (4 groups)" in take_survey(config, catalogue).advice
    assert take_survey(config.model_copy(update={"group": r"(p\d)"}), catalogue).advice == ""


def test_a_name_that_leads_out_of_the_folder_is_that_whether_the_file_is_there_or_not(
    folder: Path, catalogue: Catalogue
) -> None:
    record = document(6)
    record["images"][2]["file_name"] = "../nowhere/2.png"
    assert survey(folder, record, catalogue)[1] == [
        ("outside-root", "../nowhere/2.png", ""),
        ("image-not-listed", "2.png", ""),
    ]


def test_an_image_whose_record_was_lost_is_not_called_unlisted(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    for name in ("a", "b", "left"):
        save_image(tmp_path / f"images/{name}.png")
    records = [
        {"image": "a.png", "mask": [SQUARE], "text": ["vessel"]},
        {"image": "b.png", "mask": [SQUARE], "text": []},
    ]
    (tmp_path / "annotations.json").write_text(json.dumps(records))
    taken = take_survey(DataConfig(format="sa2va", root=tmp_path), catalogue)
    found = [(finding.code, finding.file, finding.sample) for finding in taken.findings]
    assert found == [("text-count", "annotations.json", "b"), ("image-not-listed", "images/left.png", "")]


def test_a_root_that_is_spelt_with_dots_makes_no_missing_file_an_outsider(folder: Path, catalogue: Catalogue) -> None:
    (folder / "annotations.json").write_text(json.dumps(document(6)))
    (folder / "2.png").unlink()
    (folder / "x").mkdir()
    taken = take_survey(DataConfig(format="coco", root=folder / "x/.."), catalogue)
    assert [finding.code for finding in taken.findings] == ["missing-file"]
