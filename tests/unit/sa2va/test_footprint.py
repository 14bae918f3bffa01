"""Parameter counts of the real sizes, against those of the released models."""

from __future__ import annotations

import pytest
import torch

from vesselbench import Task
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.internvl import build_internvl
from vesselbench_sa2va.sam2 import build_sam2
from vesselbench_sa2va.sizes import SIZES

TOTALS = {"1b": 938_201_984, "2b": 2_088_972_800, "8b": 7_944_409_600, "14b": 15_117_307_904}
LORA = {"1b": 35_192_832, "2b": 73_859_072, "8b": 161_480_704, "14b": 275_251_200}


@pytest.mark.parametrize("size", TOTALS)
def test_internvl_has_the_parameters_of_the_released_size(size: str) -> None:
    with torch.device("meta"):
        model = build_internvl(SIZES[size])
    assert sum(p.numel() for p in model.parameters()) == TOTALS[size]


def test_sam2_has_the_parameters_of_hiera_large() -> None:
    with torch.device("meta"):
        model = build_sam2(SIZES["8b"].sam)
    assert sum(p.numel() for p in model.parameters()) == 216_924_865
    assert sum(p.numel() for p in model.mask_decoder.parameters()) == 4_215_109


@pytest.mark.parametrize("size", LORA)
def test_adapters_of_rank_64_have_the_official_count(size: str) -> None:
    config = Sa2VAConfig.model_validate({"size": size, "freeze": "official", "lora": {"r": 64, "tokens": "lean"}})
    parts = Sa2VA().footprint(config, Task(("vessel",))).parts
    assert parts["lora"] == (LORA[size], LORA[size])
    assert parts["new tokens"] == (2 * 5 * SIZES[size].language.hidden,) * 2


def test_8b_with_official_tokens_trains_what_the_job_reported() -> None:
    config = Sa2VAConfig.model_validate({"size": "8b", "freeze": "official", "lora": {"r": 64, "tokens": "official"}})
    found = Sa2VA().footprint(config, Task(("vessel",)))
    assert found.parts["lora"][1] + found.parts["new tokens"][1] == 1_248_715_776
    assert found.parts["embedding and head"] == (1_087_235_072, 0)
    assert found.parts["vision tower"] == (304_012_288, 0)
    assert found.frozen + found.trainable == sum(total for total, _ in found.parts.values())
    assert found.largest_layer == 543_617_536
    assert "copies of embedding and head: 1,248,715,776 parameters" in found.notes[0]
    assert "prints 2,335,950,848 in all, 53.46% trainable" in found.notes[1]


def test_a_real_size_is_planned_as_it_will_be_trained_before_its_weights_are_there() -> None:
    found = Sa2VA().footprint(Sa2VAConfig.model_validate({"size": "8b"}), Task(("vessel",)))
    assert found.parts["language model"][1] == found.parts["vision tower"][1] == 0
    assert found.notes == ()


def test_the_tiny_size_with_random_weights_trains_nearly_everything() -> None:
    found = Sa2VA().footprint(Sa2VAConfig(), Task(("vessel",)))
    assert found.frozen < 0.05 * found.trainable
    assert found.activation_bytes_per_sample > 0


def test_a_head_that_is_frozen_for_its_term_weighs_nothing_is_counted_and_told() -> None:
    config = Sa2VAConfig.model_validate({"size": "8b", "loss": {"iou": 0, "llm": 0}})
    found, usual = Sa2VA().footprint(config, Task(("vessel",))), Sa2VA().footprint(Sa2VAConfig(size="8b"), Task(("x",)))
    total, trainable = found.parts["sam iou head"]
    assert (total, trainable) == (usual.parts["sam iou head"][0], 0)
    assert usual.parts["sam iou head"] == (total, total)
    assert f"model.loss.iou=0: the IoU head is frozen, {total:,} parameters." in found.notes
    assert usual.notes == ()
    assert found.parts["new tokens"][1] == usual.parts["new tokens"][1] // 2
    assert usual.trainable - found.trainable == total + usual.parts["new tokens"][1] // 2
