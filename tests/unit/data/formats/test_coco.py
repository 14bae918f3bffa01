"""The format coco: unions, negatives, and messages with file and index."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselbench.data.formats.coco import Coco
from vesselbench.data.masks import decode, encode_rle
from vesselbench.errors import UserError
from vesselbench.types import Polygons, Sample

SQUARE = [2.0, 2.0, 9.0, 2.0, 9.0, 9.0, 2.0, 9.0]
OTHER = [6.0, 6.0, 14.0, 6.0, 14.0, 14.0, 6.0, 14.0]
DOCUMENT: dict[str, Any] = {
    "info": {"anything": 1},
    "images": [
        {"id": 10, "file_name": "sub/a.png", "height": 16, "width": 20, "patient": "P1"},
        {"id": 11, "file_name": "b.png", "height": 16, "width": 20, "patient": 7},
    ],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 3, "segmentation": [SQUARE], "iscrowd": 0},
        {"id": 1, "image_id": 10, "category_id": 3, "segmentation": [OTHER]},
    ],
    "categories": [{"id": 3, "name": "vessel"}, {"id": 4, "name": "stent"}],
}
STENOSIS = Path(__file__).parents[4] / "../shared/data/ARCADE-stenosis-annotations"


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT)


def read(folder: Path, document: Any, **options: Any) -> list[Sample]:
    (folder / "annotations.json").write_text(json.dumps(document))
    return list(Coco().read(folder, options))


def test_annotations_of_one_image_and_category_are_one_sample(tmp_path: Path, document: dict[str, Any]) -> None:
    samples = read(tmp_path, document)
    assert [sample.id for sample in samples] == ["sub/a", "b"]
    assert samples[0].mask == (Polygons((tuple(SQUARE),), (16, 20)), Polygons((tuple(OTHER),), (16, 20)))
    assert samples[0].image == tmp_path / "sub/a.png"
    assert (samples[0].target, samples[0].prompt) == ("vessel", "vessel")
    assert samples[0].origin == "annotations.json annotations[0, 1]"


def test_an_image_without_annotations_is_a_negative(tmp_path: Path, document: dict[str, Any]) -> None:
    negative = read(tmp_path, document)[1]
    assert negative.mask == ()
    assert negative.origin == "annotations.json images[1]"


def test_several_categories_give_a_sample_each(tmp_path: Path, document: dict[str, Any]) -> None:
    samples = read(tmp_path, document, categories=["vessel", "stent"], prompts={"stent": "metal stent"})
    assert [sample.id for sample in samples] == ["sub/a:stent", "sub/a:vessel", "b:stent", "b:vessel"]
    assert [sample.prompt for sample in samples[:2]] == ["metal stent", "vessel"]
    assert [len(sample.mask or ()) for sample in samples] == [0, 2, 0, 0]


def test_unused_categories_are_not_targets(tmp_path: Path, document: dict[str, Any]) -> None:
    assert {sample.target for sample in read(tmp_path, document)} == {"vessel"}


def test_equal_annotation_ids_do_not_mix_images(tmp_path: Path, document: dict[str, Any]) -> None:
    document["annotations"][1]["image_id"] = 11
    samples = read(tmp_path, document)
    assert samples[0].mask == (Polygons((tuple(SQUARE),), (16, 20)),)
    assert samples[1].mask == (Polygons((tuple(OTHER),), (16, 20)),)


def test_polygons_and_both_run_length_kinds_decode_alike(tmp_path: Path, document: dict[str, Any]) -> None:
    mask = decode((Polygons((tuple(SQUARE),)),), (16, 20), "x")
    counts = encode_rle(mask).counts
    assert isinstance(counts, bytes)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]])))
    plain = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    for segmentation in ([SQUARE], {"size": [16, 20], "counts": counts.decode()}, {"size": [16, 20], "counts": plain}):
        document["annotations"] = [{"image_id": 10, "category_id": 3, "segmentation": segmentation, "iscrowd": 1}]
        sample = read(tmp_path, document)[0]
        assert sample.mask is not None
        assert np.array_equal(decode(sample.mask, (16, 20), "x"), mask)


def test_a_key_of_the_image_record_can_name_the_patient(tmp_path: Path, document: dict[str, Any]) -> None:
    assert [sample.group for sample in read(tmp_path, document, group_key="patient")] == ["P1", "7"]
    assert [sample.group for sample in read(tmp_path, document)] == ["", ""]
    with pytest.raises(UserError, match=r"images\[0\]: no 'case'"):
        read(tmp_path, document, group_key="case")


def change(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    if value is KeyError:
        del document[path[-1]]
    else:
        document[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("images",), KeyError, "annotations.json: no 'images'"),
        (("images",), {}, "annotations.json images: expected a list, found {}"),
        (("images", 1), 5, "images[1]: expected a mapping, found 5"),
        (("images", 1, "file_name"), "sub/a.png", "images[1]: 'sub/a.png' stands in annotations.json images[0] too"),
        (("images", 1, "id"), 10, "images[1]: id 10 stands in annotations.json images[0] too"),
        (("images", 1, "height"), 0, "images[1].height: expected a positive whole number, found 0"),
        (("images", 1, "width"), KeyError, "images[1]: no 'width'"),
        (("annotations", 1, "image_id"), KeyError, "annotations[1]: no 'image_id'"),
        (("annotations", 1, "image_id"), 99, "annotations[1]: image_id 99 is no image of the file"),
        (("annotations", 1, "image_id"), [1], "annotations[1].image_id: expected a number or text, found [1]"),
        (("annotations", 1, "category_id"), 99, "annotations[1]: category_id 99 is unknown"),
        (("annotations", 1, "segmentation"), KeyError, "annotations[1]: no 'segmentation'"),
        (("annotations", 1, "segmentation"), [], "annotations[1].segmentation: empty (a box without an outline)"),
        (("annotations", 1, "segmentation"), [[]], "annotations[1].segmentation[0]: a polygon of 0 points"),
        (("annotations", 1, "segmentation"), SQUARE, "annotations[1].segmentation: a flat list"),
        (("annotations", 1, "segmentation"), [SQUARE, [1, 2]], "segmentation[1]: a polygon of 1 point,"),
        (("annotations", 1, "segmentation"), [[1, 2, 3, 4, 5, 6, 7]], "segmentation[0]: 7 coordinates"),
        (("annotations", 1, "segmentation"), [[1, 2, 3, float("nan"), 5, 6]], "segmentation[0]: a coordinate is not"),
        (("annotations", 1, "segmentation"), [[1, 2, 3, "4", 5, 6]], "segmentation[0][3]: expected a number"),
        (("annotations", 1, "segmentation"), [[1, 2, 3, True, 5, 6]], "segmentation[0][3]: expected a number"),
        (("annotations", 1, "segmentation"), [[10**400, 2, 3, 4, 5, 6]], "segmentation[0]: a coordinate is too large"),
        (("annotations", 1, "segmentation"), "x", "annotations[1].segmentation: expected a list"),
        (("annotations", 1, "segmentation"), {"size": [16, 20], "counts": [5]}, "run lengths sum to 5, not to 16 x 20"),
        (("annotations", 1, "segmentation"), {"size": [16, 20], "counts": [320.0]}, "counts[0]: 320.0 is not a whole"),
        (("annotations", 1, "segmentation"), {"size": [16, 20], "counts": "ä"}, "counts: not a run-length string"),
        (("annotations", 1, "segmentation"), {"size": [16], "counts": "a"}, "size: expected [height, width]"),
        (("annotations", 1, "segmentation"), {"counts": "a"}, "segmentation: no 'size'"),
        (("categories", 1, "id"), 3, "categories[1]: id 3 stands there twice"),
        (("categories", 1, "id"), "3", "categories[1]: id 3 stands there twice"),
        (("categories", 1, "name"), "\ud800", "categories[1].name: '\\ud800' holds half a character"),
        (("images", 1, "file_name"), "a\0.png", "images[1]: 'a\\x00.png' is no file name"),
        (("annotations", 1, "segmentation"), [[1, 1, 5, 5, 9, 9]], "segmentation[0]: the polygon of 3 points encloses"),
        (("annotations", 1, "segmentation"), [[30, 2, 35, 2, 35, 9]], "segmentation: the shape lies outside the image"),
        (("annotations", 1, "segmentation"), {"size": [20, 16], "counts": [320]}, "annotated as 20 x 16"),
        (("categories", 1, "name"), "", "categories[1].name: expected a text"),
    ],
)
def test_malformed_records_are_refused_with_file_and_index(
    tmp_path: Path, document: dict[str, Any], path: tuple[Any, ...], value: Any, words: str
) -> None:
    change(document, path, value)
    with pytest.raises(UserError) as caught:
        read(tmp_path, document)
    assert words in caught.value.message
    assert caught.value.message.startswith("annotations.json")
    assert caught.value.hint


def test_unknown_categories_in_options_are_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no category 'vesel'") as caught:
        read(tmp_path, document, categories=["vesel"])
    assert "vessel" in caught.value.hint
    with pytest.raises(UserError, match="no category 'vesel'"):
        read(tmp_path, document, prompts={"vesel": "x"})


def test_a_file_without_annotations_needs_the_category_named(tmp_path: Path, document: dict[str, Any]) -> None:
    document["annotations"] = []
    with pytest.raises(UserError, match="has no annotations"):
        read(tmp_path, document)
    assert [sample.mask for sample in read(tmp_path, document, categories=["vessel"])] == [(), ()]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "annotations.json").write_bytes(content)
    with pytest.raises(UserError, match="is not JSON"):
        list(Coco().read(tmp_path, {}))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotations\.json does not exist"):
        list(Coco().read(tmp_path, {}))


@pytest.mark.skipif(not STENOSIS.is_dir(), reason="the ARCADE stenosis annotations are not here")
@pytest.mark.parametrize(("name", "images", "polygons"), [("train", 1000, 1625), ("val", 200, 406), ("test", 300, 386)])
def test_the_arcade_stenosis_annotations_are_read_whole(name: str, images: int, polygons: int) -> None:
    samples = list(Coco().read(STENOSIS, {"annotations": f"{name}.json", "prompts": {"stenosis": "narrowed vessel"}}))
    assert len(samples) == images
    assert {sample.target for sample in samples} == {"stenosis"}
    assert sum(len(sample.mask or ()) for sample in samples) == polygons
    annotated = next(sample for sample in samples if sample.mask)
    assert annotated.mask is not None
    assert 0 < decode(annotated.mask, (512, 512), "x").mean() < 0.1


def test_categories_whose_prompts_are_the_same_phrase_are_one_target(tmp_path: Path, document: dict[str, Any]) -> None:
    document["annotations"][1]["category_id"] = 4
    samples = read(tmp_path, document, prompts={"stent": " Vessel."})
    assert [(sample.id, sample.target) for sample in samples] == [("sub/a", "stent"), ("b", "stent")]
    assert len(samples[0].mask or ()) == 2
    assert samples[0].origin == "annotations.json annotations[0, 1]"
    apart = read(tmp_path, document, prompts={"stent": "metal stent"})
    assert [sample.id for sample in apart] == ["sub/a:stent", "sub/a:vessel", "b:stent", "b:vessel"]


@pytest.mark.parametrize("name", [".", "x" * 300])
def test_what_names_no_file_is_refused_with_its_place(tmp_path: Path, document: dict[str, Any], name: str) -> None:
    document["images"][1]["file_name"] = name
    with pytest.raises(UserError, match=r"images\[1\]: .*(no file name|too long)"):
        read(tmp_path, document)


def test_an_empty_prompt_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="the prompt of 'vessel' is empty"):
        read(tmp_path, document, prompts={"vessel": " ."})
