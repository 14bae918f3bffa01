"""Every code that a finding can carry: how grave it is, and what it means in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Rule:
    """What a code stands for. An error stops a training; a warning may be meant; an info is a fact worth knowing."""

    severity: Severity
    meaning: str


_FILES = {
    "missing-file": Rule("error", "a file that is named does not exist"),
    "unreadable-file": Rule("error", "an annotation file cannot be opened"),
    "not-json": Rule("error", "an annotation file is not JSON"),
    "refused": Rule("error", "the format refuses the data set for a reason of its own; its reading ended there"),
    "no-samples": Rule("error", "nothing was found to read"),
    "outside-root": Rule("error", "a path leads out of the data set's folder"),
    "bad-file-name": Rule("error", "a file name is empty, too long or names no file"),
    "name-collision": Rule("error", "two files share one stem, so an annotation could belong to either"),
    "twin-names": Rule("warning", "two names differ in case or Unicode form only: on other systems they are one file"),
    "duplicate-sample": Rule("error", "two samples have one id"),
    "image-without-annotation": Rule("error", "an image has no annotation file or mask"),
    "annotation-without-image": Rule("error", "an annotation file or mask has no image"),
    "image-not-listed": Rule("warning", "an image lies in the folder but in no annotation file"),
    "group-not-found": Rule("error", "data.group finds nothing in a path, or data.groups names no group for a sample"),
    "table-unfit": Rule("error", "a row of a CSV file (data.groups, data.split.file) does not fit the data set"),
}
_RECORDS = {
    "wrong-kind": Rule("error", "a value is of another kind than it must be (text for a number, say)"),
    "missing-key": Rule("error", "a record lacks a key that it must have"),
    "unknown-image": Rule("error", "an annotation belongs to an image that the file does not list"),
    "unknown-category": Rule("error", "an annotation belongs to a category that the file does not list"),
    "duplicate-image": Rule("error", "an image file is listed twice"),
    "duplicate-image-id": Rule("error", "two images of one file have the same id"),
    "duplicate-category": Rule("error", "two categories have the same id"),
    "repeated-category": Rule("warning", "two categories have one name; they are one target"),
    "duplicate-annotation-id": Rule(
        "warning", "two annotations have the same id (read right here, mixed up elsewhere)"
    ),
    "crowd-polygons": Rule("warning", "iscrowd is 1 although the shape is polygons; read as polygons"),
    "no-text": Rule("error", "a record has no phrase, and the file has several"),
    "empty-text": Rule("error", "a phrase or label is empty"),
    "text-count": Rule("error", "a record has more masks than phrases, or fewer"),
    "point-ignored": Rule("info", "a point has no area: it is not part of any mask"),
    "unsupported-shape": Rule("error", "a kind of shape that has no area or no known meaning"),
    "no-line-width": Rule("error", "a line is drawn, and no width is given for it"),
}
_SHAPES = {
    "empty-segmentation": Rule("error", "an annotation has no outline"),
    "flat-list": Rule("error", "a list of polygons lacks its inner brackets"),
    "too-few-points": Rule("error", "a polygon of fewer than 3 points (an unfinished click, mostly)"),
    "odd-coordinates": Rule("error", "a polygon's numbers do not make pairs of x and y"),
    "not-finite": Rule("error", "a coordinate is NaN, infinite or too large"),
    "outside-image": Rule("error", "a polygon lies wholly outside its image, or reaches far beyond it"),
    "partly-outside": Rule("warning", "points of a polygon lie outside the image; what lies there is cut off"),
    "outline-too-long": Rule("error", "an outline too long to be drawn in bounded memory"),
    "zero-area": Rule("error", "a polygon encloses nothing"),
    "self-crossing": Rule("warning", "a polygon crosses itself: parts of it may be left unfilled"),
    "not-examined": Rule("info", "a polygon has too many long edges to look for crossings"),
    "duplicate-polygon": Rule("warning", "a polygon stands twice"),
    "overlapping-polygons": Rule("info", "polygons of one image overlap; they are united"),
    "impossible-size": Rule("error", "a stated size is not positive, or beyond reason"),
    "size-differs": Rule("warning", "an annotation states another size than its image; it is scaled"),
    "aspect-differs": Rule(
        "warning", "an annotation states another shape than its image (wide for tall, say); it is stretched to fit"
    ),
    "size-swapped": Rule("error", "an annotation states its image's height and width exchanged"),
    "rle-damaged": Rule("error", "run lengths are no run-length string, or one is negative"),
    "rle-short": Rule("error", "run lengths cover less than their size"),
    "rle-long": Rule("error", "run lengths cover more than their size"),
    "rle-size": Rule("warning", "run lengths state another size than the image record; they are scaled"),
}
_MASKS = {
    "no-annotation": Rule("error", "a sample has no mask to learn from or score with"),
    "mask-size": Rule("error", "a mask image has another size than its image"),
    "mask-values": Rule("error", "a mask image has more than two values, and none is named as foreground"),
    "mask-colours": Rule("error", "a mask image is coloured, and no colours are named as foreground"),
    "mask-alpha": Rule("error", "a mask image is partly transparent"),
    "mask-not-finite": Rule("error", "a mask image holds values that are not finite"),
    "absent-value": Rule("error", "a value named as foreground occurs in no mask"),
    "unmapped-value": Rule("info", "a value of the masks belongs to no target: it counts as background"),
    "empty-mask": Rule("warning", "no pixel is foreground: a negative, fine if meant"),
    "full-mask": Rule("warning", "every pixel is foreground"),
    "empty-fov": Rule("error", "no pixel lies in the field of view"),
    "outside-fov": Rule("warning", "foreground outside the field of view, which will not count"),
    "class-imbalance": Rule("warning", "hardly any pixel of a target is foreground"),
    "thin-structures": Rule("warning", "vessels too thin for the model's input size"),
}
_IMAGES = {
    "unreadable": Rule("error", "an image or mask cannot be decoded, or they do not fit"),
    "truncated-image": Rule("error", "an image file is cut short or damaged"),
    "decompression-bomb": Rule("error", "an image has more pixels than can be decoded safely"),
    "several-frames": Rule("error", "an image file holds several frames"),
    "transparent-image": Rule("error", "an image is partly transparent"),
    "turned-image": Rule("warning", "EXIF data turn an image; its annotation must fit the turned one"),
    "flat-image": Rule("warning", "every pixel of an image has the same value"),
    "deep-image": Rule("info", "an image has more than 8 bits: mapped from its own range to 0..255"),
    "mixed-modes": Rule("warning", "grey, coloured and transparent images are mixed"),
    "size-outlier": Rule("warning", "an image has a size unlike the others"),
    "split-leak": Rule("error", "one group, file or near copy stands in two sets"),
}

CODES: Mapping[str, Rule] = MappingProxyType({**_FILES, **_RECORDS, **_SHAPES, **_MASKS, **_IMAGES})
"""Code -> severity and meaning. Codes are stable: programs that read ``data check --json`` rely on them."""
