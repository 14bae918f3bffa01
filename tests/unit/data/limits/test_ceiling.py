"""The ceiling says what a model's grids cost, per image and width, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import Recipe
from vesselbench.data.limits.ceiling import ceiling_record, evenly, measure_ceiling, recommend, stating
from vesselbench.data.limits.widths import bin_names
from vesselbench.errors import UserError
from vesselbench.grids import Grids, whole
from vesselbench.plugins import Catalogue, Table
from vesselbench.types import MaskFile, Sample
from vesselbench_monai.grids import grids as unet_grids
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.grids import grids as sa2va_grids
from vesselbench_sa2va.sizes import SIZES


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Three images of 96 x 128: a thin and a wide vessel, a wide one alone, none."""
    found = []
    for number, rows in enumerate(([(21, 23), (60, 70)], [(40, 50)], [])):
        mask = np.zeros((96, 128), np.uint8)
        for top, end in rows:
            mask[top:end] = 255
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
        Image.fromarray(255 - mask).save(tmp_path / f"{number}.png")
        foreground = MaskFile(tmp_path / f"{number}_mask.png", (255,))
        found.append(Sample(f"{number}", tmp_path / f"{number}.png", foreground, group=f"{number}"))
    return found


def coarse(size: tuple[int, int]) -> Grids:
    target = (size[0] // 4, size[1] // 4)
    return Grids(size, (128, 128), (32, 32), target, "pad", {"target": "do not shrink the mask"})


def test_a_model_at_full_resolution_loses_nothing(samples: list[Sample]) -> None:
    ceiling = measure_ceiling(samples, "m", unet_grids)
    assert ceiling.stages() == ["input", "output"]
    assert [image.whole["output"].dice for image in ceiling.images] == [1, 1]
    assert ceiling.empty == 1
    assert recommend(ceiling) == "Nothing to change: the grids cost 0.000 Dice and 0.000 clDice."


def test_a_coarse_target_loses_the_thin_vessel_and_the_cure_is_named(samples: list[Sample]) -> None:
    ceiling = measure_ceiling(samples, "m", coarse)
    thin, wide = ceiling.mean("target", 0), ceiling.mean("target", len(bin_names()) - 1)
    assert thin is not None
    assert wide is not None
    assert thin[2] == 1
    assert wide[2] == 2
    assert thin[0] < 0.4 < wide[0]
    output = ceiling.mean("output", 0)
    assert output is not None
    assert output[0] > thin[0] + 0.3
    said = recommend(ceiling)
    assert "The target grid costs" in said
    assert "do not shrink the mask" in said
    assert "up to 2 px" in said


def test_the_record_is_json_with_every_image_and_width(samples: list[Sample]) -> None:
    record = json.loads(json.dumps(ceiling_record(measure_ceiling(samples, "m", coarse))))
    assert (record["images"], record["without_vessel"]) == (2, 1)
    assert [image["id"] for image in record["by_image"]] == ["0", "1"]
    first = record["by_image"][0]
    assert set(first["stages"]["target"]) == {"all", *bin_names()}
    assert first["stages"]["output"]["up to 2 px"]["centre_pixels"] > 100
    assert record["by_image"][1]["stages"]["output"]["up to 2 px"] is None
    assert first["grids"] == {"input": [96, 128], "canvas": [128, 128], "output": [32, 32], "target": [24, 32]}


def test_an_unannotated_sample_and_a_set_without_vessels_are_refused(samples: list[Sample]) -> None:
    with pytest.raises(UserError, match="no image has a vessel"):
        measure_ceiling(samples[2:], "m", whole)
    bare = Sample("x", samples[0].image, None)
    with pytest.raises(UserError, match="'x' has no annotation"):
        measure_ceiling([bare], "m", whole)


def test_progress_counts_every_sample(samples: list[Sample]) -> None:
    told: list[int] = []
    measure_ceiling(samples, "m", whole, told.append)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, "0123456789"), (1, "0"), (2, "09"), (4, "0369"), (99, "0123456789")]
)
def test_a_limit_takes_evenly_spaced_samples(limit: int | None, expected: str) -> None:
    samples = [Sample(str(number), Path("x"), ()) for number in range(10)]
    assert "".join(sample.id for sample in evenly(samples, limit)) == expected


def test_a_model_that_states_no_grids_is_named() -> None:
    class Silent:
        name = "silent"
        Config = Sa2VAConfig

    models: Table[Silent] = Table("model")
    models.add("x", Silent())
    catalogue = Catalogue(models, Table("format"), Table("metric"), Table("tracker"), ())
    with pytest.raises(UserError, match="'silent' does not state its grids"):
        stating(Recipe(name="r", model={"name": "silent"}), catalogue)


def test_sa2va_pads_or_squashes_and_draws_on_a_quarter() -> None:
    shape = SIZES["8b"]
    padded = sa2va_grids(Sa2VAConfig(size="8b"), shape, (512, 1024))
    assert (padded.input, padded.canvas, padded.output, padded.target) == ((512, 1024), (1024, 1024), (256, 256), None)
    official = sa2va_grids(Sa2VAConfig(size="8b", resize="squash", loss_target="official"), shape, (512, 1024))
    assert (official.input, official.target) == ((1024, 1024), (256, 256))
    assert official.cures["target"] == "model.loss_target=full"


@pytest.mark.parametrize("resize", ["pad", "squash"])
@pytest.mark.parametrize("size", [(40, 64), (63, 50), (300, 200)])
def test_sa2va_states_the_road_that_its_model_takes(resize: str, size: tuple[int, int]) -> None:
    import torch

    from vesselbench.data.limits.resample import from_output
    from vesselbench_sa2va.losses import shrink_masks
    from vesselbench_sa2va.sam2 import to_image_sizes

    shape = SIZES["tiny"]
    stated = sa2va_grids(Sa2VAConfig(resize=resize, loss_target="official"), shape, size)
    logits = torch.randn(1, shape.sam.grid, shape.sam.grid, generator=torch.Generator().manual_seed(0))
    (theirs,) = to_image_sizes(logits, shape.sam.image, [stated.input], [size])
    assert from_output(stated, size)(logits[0].numpy()) == pytest.approx(theirs.numpy(), abs=1e-4)
    content = torch.tensor([[stated.input[1] / shape.sam.image, stated.input[0] / shape.sam.image]])
    (target,) = shrink_masks([torch.zeros(size)], content, shape.sam.grid)
    assert stated.target == tuple(target.shape)
