"""Valid annotation files, and what may happen to them."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from vesselbench.data.masks import decode, encode_rle
from vesselbench.types import Rle

SQUARE = [3.0, 3.0, 20.0, 3.0, 20.0, 20.0, 3.0, 20.0]
STAR = [2.5, 2.0, 20.0, 21.0, 20.0, 4.0, 4.0, 21.0, 11.0, 1.0]
SIDE = 24
NAN, INF = float("nan"), float("inf")


def coco() -> Any:
    counts = [10, 30, SIDE * SIDE - 40]
    mask = decode((Rle(tuple(counts), (SIDE, SIDE)),), (SIDE, SIDE), "fuzz")
    compressed = encode_rle(mask).counts
    assert isinstance(compressed, bytes)
    annotations = [
        {"segmentation": [SQUARE], "iscrowd": 0, "bbox": [3, 3, 17, 17], "area": 289},
        {"segmentation": [STAR, SQUARE], "iscrowd": 1},
        {"segmentation": {"size": [SIDE, SIDE], "counts": counts}, "iscrowd": 1},
        {"segmentation": {"size": [SIDE, SIDE], "counts": compressed.decode()}, "iscrowd": 0},
    ]
    return {
        "images": [{"id": n, "file_name": f"im{n}.png", "height": SIDE, "width": SIDE} for n in range(3)],
        "annotations": [{"id": n, "image_id": n % 3, "category_id": 1, **one} for n, one in enumerate(annotations)],
        "categories": [{"id": 1, "name": "vessel"}],
    }


def sa2va() -> Any:
    return [
        {"image": "im0.png", "mask": [SQUARE, [STAR, SQUARE]], "text": ["blood vessel", "blood vessel"]},
        {"image": "im1.png", "mask": [[STAR]], "text": ["Blood vessel."]},
        {"image": "im2.png", "mask": [[]], "text": ["blood vessel"]},
    ]


def labelme() -> Any:
    def shape(points: list[list[float]], kind: str = "polygon") -> dict[str, Any]:
        return {"label": "vessel", "points": points, "shape_type": kind, "group_id": None, "flags": {}}

    square = [list(pair) for pair in zip(SQUARE[::2], SQUARE[1::2], strict=True)]
    kinds = [
        shape(square),
        shape(square[::2], "rectangle"),
        shape([[9, 9], [12, 9]], "circle"),
        shape([[1, 1]], "point"),
    ]
    shapes = [*kinds, shape(square, "linestrip")]
    return {
        "version": "5",
        "imagePath": "im0.png",
        "imageData": None,
        "imageHeight": 48,
        "imageWidth": 48,
        "shapes": shapes,
    }


def killers(kind: str) -> list[Any]:
    """What is known to end pycocotools: a coordinate that is not finite, run lengths that are too short."""
    document = DOCUMENTS[kind]()
    if kind == "sa2va":
        document[0]["mask"][0] = [NAN, 1.0, 5.0, INF, 9.0, 9.0]
        return [document]
    if kind == "labelme":
        document["shapes"][0]["points"] = [[NAN, 1.0], [5.0, INF], [9.0, 9.0]]
        return [document]
    document["annotations"][0]["segmentation"] = [[NAN, 1.0, 5.0, INF, 9.0, 9.0]]
    short = coco()
    short["annotations"][2]["segmentation"]["counts"] = [10, 30]
    return [document, short]


DOCUMENTS = {"coco": coco, "sa2va": sa2va, "labelme": labelme}

_odd: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 23.9999, -0.5, 1e6, 1e12, 1e300, 10**30, -(10**400), NAN, INF, -INF),
    *("", " ", ".", "..", "/", "im0.png", "IM0.PNG", "../im0.png", "/etc/passwd", "im0", "a" * 5000, "é", "e\u0301"),
    *("\ud800", "\0", "%2e%2e%2fim0.png", "https://x/im0.png", "vessel", "1", ":n0n0b`0", "\x7f" * 30, "~" * 40),
    *([], {}, [[]], [[], []], [{}], [0], [1, 2], [1, 2, 3], SQUARE[:5], [NAN] * 6, [INF, 1, 2, 3, 4, 5], [1, 2] * 3),
    *([1e9, 0, 0, 1e9, 5, 5], [-30, -30, 60, -30, 60, 60], [10**5, 10**5], [2**31, 2**31], [2**63, 1], [0, 0], [-1, 5]),
    *([10**12, 5], [5, -5, 576], [SQUARE] * 50, [SQUARE, [NAN] * 8], {"size": [24, 24], "counts": [5]}),
    *({"size": [24, 24], "counts": ""}, {"size": [10**6, 10**6], "counts": [10**12]}, {"counts": [576]}),
    *({"size": [1, 1], "counts": [1]}, {"size": [48, 48], "counts": [2304]}, list(range(2000))),
]
_deadly: list[Any] = [NAN, INF, [NAN] * 6, {"size": [24, 24], "counts": [5]}, [5, 5], [[5, 5]], None, "x"]
"""What has killed decoders before: it must come up often."""
values = (
    st.sampled_from(_deadly)
    | st.sampled_from(_odd)
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.lists(st.floats(), max_size=9)
)
steps = st.tuples(
    st.sampled_from(["replace", "poison", "delete", "double", "swap", "nest"]), st.sampled_from(range(400)), values
)
texts = (
    st.none()
    | st.none()
    | st.none()
    | st.tuples(st.sampled_from(["cut", "insert", "brackets"]), st.integers(0, 100_000), st.binary(max_size=4))
)


def mutated(document: Any, changes: list[Any]) -> Any:
    """The document after a few changes at places counted through all its values."""
    document = copy.deepcopy(document)
    for kind, number, value in changes:
        places = list(_places(document))
        if not places:
            return value
        numbers = [(one, at) for one, at in places if isinstance(one, list) and isinstance(one[at], int | float)]
        holder, key = places[number % len(places)]
        if kind == "poison" and numbers:  # a coordinate or a run length
            holder, key = numbers[number % len(numbers)]
            holder[key] = (NAN, INF, -INF, 1e300, -1, 10**6, None)[number % 7]
        elif kind == "replace":
            holder[key] = copy.deepcopy(value)
        elif kind == "delete":
            del holder[key]
        elif kind == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif kind == "swap":
            other, at = places[(number * 7 + 3) % len(places)]
            holder[key] = copy.deepcopy(other[at])
        else:
            deep = value
            for _ in range(number % 300):
                deep = [deep]
            holder[key] = deep
    return document


def written(document: Any, change: Any) -> bytes:
    """The bytes of the file: the JSON, perhaps cut, with bytes inserted, or buried in brackets."""
    text = json.dumps(document).encode()
    if change is None:
        return text
    kind, number, inserted = change
    at = number % (len(text) + 1)
    if kind == "cut":
        return text[:at]
    if kind == "insert":
        return text[:at] + inserted + text[at:]
    return b"[" * number + text


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)
