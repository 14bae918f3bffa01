from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vesselbench import Task
from vesselbench.testing import tiny_examples
from vesselbench_monai.collate import Collator, channels_of
from vesselbench_monai.settings import CHANNELS

TASK = Task(("artery", "vein"))


def an_example(size=(96, 96), target="vein"):
    (example,) = tiny_examples(1, size)
    return replace(example, sample=replace(example.sample, target=target))


def test_a_crop_looks_like_that_part_of_the_whole_image():
    example = an_example()
    part = replace(example, image=example.image[20:80, 30:90], mask=example.mask[20:80, 30:90])
    inner = channels_of(part, 9)[:, 8:-8, 8:-8]
    assert inner == pytest.approx(channels_of(example, 9)[:, 28:72, 38:82], abs=1e-4)


def test_the_batch_is_padded_and_weighs_only_what_is_annotated_and_in_view():
    large, small = an_example((30, 40)), an_example((25, 33))
    fov = np.zeros((25, 33), bool)
    fov[:10] = True
    inputs = Collator(TASK, 8, 9)([replace(large, mask=None), replace(small, fov=fov)])
    assert inputs["image"].shape == (2, CHANNELS, 32, 40)
    assert inputs["weight"].sum((1, 2, 3)).tolist() == [0, 330]
    assert inputs["channel"].tolist() == [1, 1]
