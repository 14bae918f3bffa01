"""The format sa2va: both forms of `mask`, one sample per phrase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselbench.data.findings import collecting
from vesselbench.data.formats.sa2va import Sa2VAAnnotations
from vesselbench.data.masks import decode
from vesselbench.errors import UserError
from vesselbench.types import Polygons, Sample

ONE = [1.0, 1.0, 6.0, 1.0, 6.0, 6.0]
TWO = [3.0, 3.0, 9.0, 3.0, 9.0, 9.0]


def read(folder: Path, document: Any, **options: Any) -> list[Sample]:
    (folder / "annotations.json").write_text(json.dumps(document))
    return list(Sa2VAAnnotations().read(folder, options))


def entry(mask: Any, text: Any, image: str = "a.jpg") -> dict[str, Any]:
    return {"image": image, "mask": mask, "text": text}


def test_flat_polygons_of_one_phrase_are_united(tmp_path: Path) -> None:
    samples = read(tmp_path, [entry([ONE, TWO], ["blood vessel"] * 2)])
    assert len(samples) == 1
    assert samples[0].mask == (Polygons((tuple(ONE),)), Polygons((tuple(TWO),)))
    assert (samples[0].id, samples[0].target, samples[0].prompt) == ("a", "blood vessel", "blood vessel")
    assert samples[0].image == tmp_path / "images" / "a.jpg"
    assert samples[0].origin == "annotations.json [0]"


def test_both_forms_of_mask_give_the_same_pixels(tmp_path: Path) -> None:
    flat = read(tmp_path, [entry([ONE, TWO], ["v", "v"])])[0]
    nested = read(tmp_path, [entry([[ONE, TWO]], ["v"])])[0]
    assert flat.mask is not None
    assert nested.mask is not None
    assert np.array_equal(decode(flat.mask, (12, 12), "x"), decode(nested.mask, (12, 12), "x"))


def test_several_phrases_give_a_sample_each(tmp_path: Path) -> None:
    samples = read(tmp_path, [entry([ONE, TWO], ["artery", "vein"])])
    assert [sample.id for sample in samples] == ["a:artery", "a:vein"]


def test_records_of_one_image_are_united(tmp_path: Path) -> None:
    samples = read(tmp_path, [entry([ONE], ["v"]), entry([TWO], ["v"], "b.jpg"), entry([TWO], ["v"])])
    assert [sample.id for sample in samples] == ["a", "b"]
    assert len(samples[0].mask or ()) == 2
    assert samples[0].origin == "annotations.json [0, 2]"


def test_an_empty_mask_is_a_negative_of_its_phrase(tmp_path: Path) -> None:
    samples = read(tmp_path, [entry([ONE], ["v"]), entry([[]], ["v"], "b.jpg"), entry([], [], "c.jpg")])
    assert [sample.mask for sample in samples[1:]] == [(), ()]
    assert [sample.target for sample in samples] == ["v", "v", "v"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (entry([ONE], ["v", "v"]), "[1]: 1 masks but 2 texts"),
        (entry([[1.0, 2.0]], ["v"]), "[1].mask[0][0]: a polygon of 1 point,"),
        (entry([[ONE, [1.0, 2.0]]], ["v"]), "[1].mask[0][1]: a polygon of 1 point,"),
        (entry([[1.0, 2.0, float("inf"), 4.0, 5.0, 6.0]], ["v"]), "not finite"),
        (entry([[1.0, "2"]], ["v"]), "expected a number"),
        (entry([[ONE, 5]], ["v"]), "expected a list"),
        (entry([ONE], [" "]), "[1].text[0]: expected a phrase"),
        (entry([ONE], [5]), "[1].text[0]: expected a phrase"),
        (entry(5, ["v"]), "[1].mask: expected a list"),
        ({"image": "a.jpg", "mask": []}, "[1]: no 'text'"),
        ({"mask": [], "text": []}, "[1]: no 'image'"),
        ([], "[1]: expected a mapping"),
    ],
)
def test_malformed_records_are_refused_with_file_and_index(tmp_path: Path, record: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, [entry([ONE], ["v"], "ok.jpg"), record])
    assert words in caught.value.message
    assert caught.value.message.startswith("annotations.json [1]")


def test_a_record_without_phrase_is_refused_when_it_could_mean_several(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\[1\]: no text, while the file has 2"):
        read(tmp_path, [entry([ONE, TWO], ["artery", "vein"]), entry([], [], "b.jpg")])


def test_spellings_of_one_phrase_are_one_target(tmp_path: Path) -> None:
    texts = ["Blood vessel", " blood vessel.", "blood vessel"]
    samples = read(tmp_path, [entry([ONE, TWO], texts[:2]), entry([ONE], texts[2:], "b.jpg")])
    assert [(sample.id, sample.target, sample.prompt) for sample in samples] == [
        ("a", "blood vessel", "Blood vessel"),
        ("b", "blood vessel", "Blood vessel"),
    ]
    assert len(samples[0].mask or ()) == 2


@pytest.mark.parametrize("name", [".", "/", "images/..", "x" * 300 + ".jpg", "/".join(["folder"] * 900)])
def test_what_names_no_file_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"annotations.json \[0\]: .*(no file name|too long)") as caught:
        read(tmp_path, [entry([ONE], ["v"], name)])
    assert len(caught.value.message) < 200


def test_a_phrase_of_a_full_stop_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"text\[0\]: expected a phrase"):
        read(tmp_path, [entry([ONE], [" . "])])


def test_a_zero_area_polygon_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\[0\]\.mask\[0\]\[0\]: the polygon of 3 points encloses nothing"):
        read(tmp_path, [entry([[1.0] * 6], ["v"])])


def test_backslashes_divide_folders(tmp_path: Path) -> None:
    sample = read(tmp_path, [entry([ONE], ["v"], "p1\\a.jpg")])[0]
    assert (sample.id, sample.image) == ("p1/a", tmp_path / "images/p1/a.jpg")


def test_while_collecting_one_bad_polygon_costs_only_itself(tmp_path: Path) -> None:
    with collecting() as findings:
        samples = read(
            tmp_path, [entry([ONE, [5.0, 5.0]], ["v", "v"]), entry(7, ["v"], "b.jpg"), entry([TWO], ["v"], "c.jpg")]
        )
    assert [(sample.id, len(sample.mask or ())) for sample in samples] == [("a", 1), ("c", 1)]
    assert [(finding.code, finding.index, finding.sample) for finding in findings] == [
        ("too-few-points", "[0].mask[1][0]", "a"),
        ("wrong-kind", "[1].mask", "b"),
    ]
