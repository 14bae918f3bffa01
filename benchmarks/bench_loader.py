"""Samples per second of the loader: from a cold start, and per epoch beside plain pycocotools and Pillow.

An epoch is timed on three roads: `memory` (what fits is decoded once), `cache` (too large for memory, masks from the
disk) and `files` (neither). Each is measured beside the loop that people write themselves, in the same run on the same
files: `plain_seconds` is its time, `times_plain` how many times faster the loader is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from vesselbench.config import AugmentConfig, DataConfig, TrainConfig
from vesselbench.data.cache import MaskCache
from vesselbench.data.converting.convert import convert_data
from vesselbench.data.converting.scene import WriteOptions
from vesselbench.data.loader import train_batches
from vesselbench.data.read import read_samples
from vesselbench.recipes import model_settings
from vesselbench.types import Example, Sample

STEPS = 40
IMAGES, SIDE, MANY = 12, 512, [5, 9]
UNCHANGED = AugmentConfig(flip=False, rotate=False, brightness=0.0, contrast=0.0)
FORMS = ("coco", "labelme")
ROADS = ("memory", "cache", "files")
Files = tuple[Path, list[Sample]]


def consume(samples, collate, train) -> int:
    """Open the training set and draw `STEPS` batches; returns the samples drawn."""
    batches = train_batches(samples, collate, train, 0, 1)
    return sum(len(micro.ids) for _, micros in batches for micro in micros)


def bench_loader(timed, recipe, dataset, catalogue):
    chosen = recipe("unet", f"train.steps={STEPS}")
    plugin, config = model_settings(chosen, catalogue)
    collate = plugin.collator(config, dataset.task)
    samples, drawn = dataset.of("train"), STEPS * chosen.train.batch_size
    assert consume(samples, collate, chosen.train) == drawn
    timed(lambda: consume(samples, collate, chosen.train), samples=drawn, data=1.0, rounds=9)
    timed.note(workers=chosen.train.workers)


@pytest.fixture(scope="module")
def sets(catalogue, tmp_path_factory) -> dict[str, Files]:
    """The phantom as one COCO file of polygons, and one of many trees as LabelMe files with a shape for each branch."""
    folder = tmp_path_factory.mktemp("sets")
    written: dict[str, Files] = {}
    for form, trees, options in (("coco", [1, 3], WriteOptions(masks="polygons")), ("labelme", MANY, WriteOptions())):
        source = DataConfig(options={"images": IMAGES, "size": SIDE, "trees": trees})
        done = convert_data(source, catalogue, folder / form, form, options)
        groups = done.folder / "groups.csv" if done.has_group_file else None
        config = DataConfig(format=form, root=done.folder, options=done.options, groups=groups)
        written[form] = done.folder, read_samples(config, catalogue)
    return written


def plain_coco(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What a hand-written data set does with a COCO file that it has read: every outline filled, every epoch."""
    document = json.loads((folder / "annotations.json").read_text())
    for image in document["images"]:
        shapes = [one["segmentation"] for one in document["annotations"] if one["image_id"] == image["id"]]
        runs = [run for shape in shapes for run in coco.frPyObjects(shape, image["height"], image["width"])]
        yield pixels(folder / "images" / image["file_name"]), coco.decode(coco.merge(runs)).astype(bool)


def plain_labelme(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same with a LabelMe file for each image, read when the image is."""
    for path in sorted((folder / "images").rglob("*.json")):
        document = json.loads(path.read_text())
        outlines = [np.ravel(shape["points"]).tolist() for shape in document["shapes"]]
        runs = coco.frPyObjects(outlines, document["imageHeight"], document["imageWidth"])
        yield pixels(path.parent / document["imagePath"]), coco.decode(coco.merge(runs)).astype(bool)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def nothing(examples: list[Example]) -> dict[str, object]:
    """The collator of a model that looks at no pixel."""
    return {}


def epoch_of(samples: list[Sample], cache: MaskCache | None) -> Callable[[], int]:
    """A function that draws one epoch from a loader that is opened here, and has drawn one already."""
    train = TrainConfig(steps=1000, batch_size=len(samples), augment=UNCHANGED)
    batches = train_batches(samples, nothing, train, 0, 1, cache=cache)

    def epoch() -> int:
        _, micros = next(batches)
        return sum(len(batch.ids) for batch in micros)

    epoch()
    return epoch


def plain_seconds(plain: Callable[[Path], Iterator[object]], folder: Path) -> float:
    """Seconds of one epoch by the loop that people write themselves."""
    started = time.perf_counter()
    assert sum(1 for _ in plain(folder)) == IMAGES
    return time.perf_counter() - started


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of coco.decode
@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("form", FORMS)
def bench_epoch(benchmark, timed, sets, tmp_path, monkeypatch, form, road):
    benchmark.group = f"an epoch of {IMAGES} images of {SIDE} x {SIDE}, {form}"
    folder, samples = sets[form]
    plain = {"coco": plain_coco, "labelme": plain_labelme}[form]
    found = sorted(int(mask.sum()) for _, mask in plain(folder))
    if road != "memory":
        monkeypatch.setattr("vesselbench.data.loader.MEMORY", 0)
    epoch = epoch_of(samples, MaskCache(tmp_path / "cache") if road == "cache" else None)
    assert epoch() == len(found)
    figures = timed(epoch, samples=len(found), data=1.0)
    if figures is not None:
        plainly = median(plain_seconds(plain, folder) for _ in range(5))
        shapes = sum(len(shape.parts) for sample in samples for shape in sample.mask)
        timed.note(polygons=shapes, plain_seconds=plainly, times_plain=plainly / figures.median)
