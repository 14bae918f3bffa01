"""Every format of annotation files: what is written comes back, and whatever is wrong ends in a Fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.findings import Fault
from vesselbench.data.masks import decode, encode_rle, to_uncompressed
from vesselbench.data.read import read_samples
from vesselbench.data.survey import take_survey
from vesselbench.errors import UserError
from vesselbench.plugins import load_catalogue

SIZE = (12, 16)
TRIANGLE = [1.0, 1.0, 9.0, 1.0, 9.0, 9.0]
RLE = {"size": list(SIZE), "counts": [100, 92]}
COCO = {
    "images": [{"id": n, "file_name": f"{n}.png", "height": 12, "width": 16} for n in (1, 2)],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [TRIANGLE], "iscrowd": 0, "bbox": [1, 1, 8, 8]},
        {"id": 2, "image_id": 2, "category_id": 1, "segmentation": RLE, "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "vessel"}],
}
SA2VA = [
    {"image": "1.png", "mask": [TRIANGLE, TRIANGLE], "text": ["vessel", "vessel"]},
    {"image": "2.png", "mask": [[TRIANGLE]], "text": ["vessel"]},
]
LABELME = {
    "shapes": [
        {"label": "vessel", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"},
        {"label": "vessel", "points": [[1, 1], [9, 9]], "shape_type": "circle"},
        {"label": "vessel", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "linestrip"},
    ],
    "imageHeight": 12,
    "imageWidth": 16,
}
CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "coco": ("annotations.json", COCO, {}),
    "sa2va": ("annotations.json", SA2VA, {"images": "."}),
    "labelme": ("1.json", LABELME, {"line_width": 3.0}),
    "arcade": ("syntax/train/annotations/train.json", COCO, {"sets": ["train"]}),
}
NUMBERS = st.integers(-(10**30), 10**30) | st.floats() | st.sampled_from([0, 1, 2, 10**400, 2**63])
TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["\ud800", "..", "/", "a\0b", "1.png", "?d=", "%00", "x:/"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(max_examples=150, deadline=10_000, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def formats():
    return load_catalogue("")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for name in CASES:
        (folder / name / Path(CASES[name][0]).parent).mkdir(parents=True)
        (folder / name / "syntax/train/images").mkdir(parents=True, exist_ok=True)
        for place in ("", "syntax/train/images"):
            for stem in "12" if name != "labelme" else "1" if not place else "":
                Image.new("RGB", SIZE[::-1]).save(folder / name / place / f"{stem}.png")
    return folder


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def first_refusal(formats: Any, config: DataConfig) -> UserError | None:
    """What a training would stop at; anything but a UserError goes up."""
    try:
        for sample in read_samples(config, formats):
            assert decode(sample.mask, SIZE, sample.origin).shape == SIZE
    except UserError as error:
        return error
    return None


def check(formats: Any, root: Path, name: str, content: bytes) -> None:
    folder = root / name
    (folder / CASES[name][0]).write_bytes(content)
    config = DataConfig(format=name, root=folder, options=dict(CASES[name][2]))
    taken = take_survey(config, formats)
    broken = [finding for finding in taken.findings if finding.severity == "error"]
    assert all(finding.reason and finding.cure for finding in taken.findings)
    for sample in taken.samples:
        assert decode(sample.mask, SIZE, sample.origin).shape == SIZE
    refusal = first_refusal(formats, config)
    assert (refusal is None) == (not broken)
    assert refusal is None or refusal.hint


@pytest.mark.parametrize("name", CASES)
def test_the_examples_themselves_are_sound(name, formats, root):
    (root / name / CASES[name][0]).write_text(json.dumps(CASES[name][1]))
    assert len(list(formats.datasets[name].read(root / name, dict(CASES[name][2])))) in (1, 2)


@pytest.mark.parametrize("name", CASES)
@FUZZ
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_ends_in_a_fault(name, formats, root, data):
    document = copy.deepcopy(CASES[name][1])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(places(document))))
        document = put(document, path, data.draw(VALUES))
        if not isinstance(document, dict | list):
            break
    check(formats, root, name, json.dumps(document).encode())


@pytest.mark.parametrize("name", CASES)
@FUZZ
@given(data=st.data())
def test_a_damaged_file_is_read_or_ends_in_a_fault(name, formats, root, data):
    content = bytearray(json.dumps(CASES[name][1]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check(formats, root, name, bytes(content[: data.draw(st.integers(0, len(content)))]))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *[
            ("coco", key)
            for key in ("images", "annotations", "categories", "id", "file_name", "height", "segmentation")
        ],
        *[("coco", key) for key in ("image_id", "category_id", "name", "size", "counts")],
        *[("sa2va", key) for key in ("image", "mask", "text")],
        *[("labelme", key) for key in ("shapes", "label", "points", "imageWidth")],
    ],
)
def test_a_missing_key_is_named(name, key, formats, root):
    document = copy.deepcopy(CASES[name][1])
    inner = document
    for step in next(path for path in places(document) if path and path[-1] == key)[:-1]:
        inner = inner[step]
    del inner[key]
    (root / name / CASES[name][0]).write_text(json.dumps(document))
    with pytest.raises(Fault, match=f"no '{key}'") as caught:
        list(formats.datasets[name].read(root / name, dict(CASES[name][2])))
    assert (caught.value.code, caught.value.file) == ("missing-key", CASES[name][0])


@st.composite
def rectangles(draw) -> list[tuple[int, int, int, int]]:
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        left, top = draw(st.integers(0, 14)), draw(st.integers(0, 10))
        boxes.append((left, top, draw(st.integers(left + 1, 16)), draw(st.integers(top + 1, 12))))
    return boxes


def drawn(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def flat(box: tuple[int, int, int, int]) -> list[int]:
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def coco_of(segmentations: list[Any]) -> dict[str, Any]:
    annotations = [{"image_id": 1, "category_id": 1, "segmentation": one} for one in segmentations]
    return {**COCO, "images": COCO["images"][:1], "annotations": annotations}


@settings(deadline=None)
@given(boxes=rectangles())
@pytest.mark.parametrize("name", CASES)
def test_what_is_written_as_shapes_comes_back_as_their_union(name, formats, root, boxes):
    records = {
        "coco": lambda: coco_of([[flat(box)] for box in boxes]),
        "arcade": lambda: coco_of([[flat(box) for box in boxes]]),
        "sa2va": lambda: [{"image": "1.png", "mask": [flat(box) for box in boxes], "text": ["vessel"] * len(boxes)}],
        "labelme": lambda: {
            "shapes": [{"label": "vessel", "points": [box[:2], box[2:]], "shape_type": "rectangle"} for box in boxes]
        },
    }
    (root / name / CASES[name][0]).write_text(json.dumps(records[name]()))
    (sample,) = formats.datasets[name].read(root / name, dict(CASES[name][2]))
    assert np.array_equal(decode(sample.mask, SIZE, "x"), drawn(boxes))


@settings(deadline=None)
@given(mask=hnp.arrays(np.bool_, SIZE), compressed=st.booleans())
@pytest.mark.parametrize("name", ["coco", "arcade"])
def test_run_lengths_of_both_kinds_come_back(name, formats, root, mask, compressed):
    rle = encode_rle(mask)
    counts = rle.counts.decode() if compressed else list(to_uncompressed(rle).counts)
    (root / name / CASES[name][0]).write_text(json.dumps(coco_of([{"size": list(SIZE), "counts": counts}])))
    (sample,) = formats.datasets[name].read(root / name, dict(CASES[name][2]))
    assert np.array_equal(decode(sample.mask, SIZE, "x"), mask)


@settings(deadline=None, max_examples=40)
@given(classes=hnp.arrays(np.uint8, SIZE, elements=st.integers(0, 4)), deep=st.booleans())
def test_masks_of_class_ids_come_back_as_their_targets(formats, tmp_path_factory, classes, deep):
    folder = tmp_path_factory.mktemp("pairs")
    for place, pixels in (("images", classes), ("masks", classes.astype(np.uint16) * 1000 if deep else classes)):
        (folder / place).mkdir()
        Image.fromarray(pixels).save(folder / place / "a.png")
    unit = 1000 if deep else 1
    options = {"values": {"artery": [unit, 2 * unit], "vein": 3 * unit}}
    artery, vein = formats.datasets["pairs"].read(folder, options)
    assert np.array_equal(decode(artery.mask, SIZE, "x"), (classes == 1) | (classes == 2))
    assert np.array_equal(decode(vein.mask, SIZE, "x"), classes == 3)
