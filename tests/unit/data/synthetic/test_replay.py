"""The replay holds the faults it is drawn for, and no others."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import Check, check_data
from vesselbench.data.dataset import load_dataset
from vesselbench.data.fixing.fix import fix_data
from vesselbench.data.read import load_example, read_samples
from vesselbench.data.recognise import recognise
from vesselbench.data.synthetic.replay import (
    ODD_SIZE,
    OTHER_SIDE,
    OUTLINES,
    PATIENTS,
    SEQUENCES,
    draw_replay,
    plan_frames,
)
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import Engine

FRAMES = 40


def codes(check: Check) -> Counter[str]:
    return Counter(finding.code for finding in check.findings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "data"
    draw_replay(path, FRAMES)
    return path


@pytest.mark.parametrize("seed", [0, 1])
def test_the_whole_set_has_the_numbers_of_the_real_one(seed: int) -> None:
    plans = plan_frames(1220, seed)
    assert len({plan.stem for plan in plans}) == 1220
    assert Counter(plan.outlines for plan in plans) == OUTLINES
    assert sum(plan.outlines for plan in plans) == 1733
    lengths = Counter(plan.sequence for plan in plans)
    assert len(lengths) == SEQUENCES
    assert 20 <= min(lengths.values()) <= max(lengths.values()) <= 40
    assert len({plan.stem.split("_")[0] for plan in plans}) == PATIENTS
    assert Counter(plan.size for plan in plans) == {(OTHER_SIDE, OTHER_SIDE): 600, ODD_SIZE: 1, (512, 512): 619}
    assert sum(plan.single_point for plan in plans) == 1
    assert sum(plan.overlapping for plan in plans) == 3
    assert not any(plan.single_point and plan.overlapping for plan in plans)


def test_a_check_reports_exactly_the_faults(folder: Path, catalogue: Catalogue) -> None:
    found = recognise(folder)
    check = check_data(DataConfig(format=found.format, root=folder, options=found.options), catalogue)
    others = sum(plan.size == (OTHER_SIDE, OTHER_SIDE) for plan in plan_frames(FRAMES, 0))
    expected = {"too-few-points": 1, "aspect-differs": 1, "overlapping-polygons": 3, "size-differs": others}
    assert codes(check) == expected
    assert check.images == FRAMES


def test_what_was_mended_can_be_trained_on(
    folder: Path, tmp_path: Path, catalogue: Catalogue, device: torch.device
) -> None:
    models = load_catalogue()
    config = DataConfig(format="labelme", root=folder)
    with pytest.raises(UserError, match="a polygon of 1 point"):
        read_samples(config, catalogue)
    fix_data(config, check_data(config, catalogue), catalogue, tmp_path / "new")
    mended = config.model_copy(update={"root": tmp_path / "new"})
    assert codes(check_data(mended, catalogue)) == {"aspect-differs": 1, "overlapping-polygons": 3}
    dataset = load_dataset(mended.model_copy(update={"group": r"(patient\d+)"}), catalogue)
    assert len(dataset.samples) == FRAMES
    training = dataset.of("train")
    values = {"steps": 3, "batch_size": -(-len(training) // 3), "device": "cpu", "augment": {"crop": 32}}
    named = {"name": "unet", "model": {"name": "unet", "channels": [8, 16]}, "train": values}
    engine = Engine.build(validate_recipe(named, models), dataset.task, models, device)
    drawn, losses = [], []
    for _, micro_batches in engine.train_batches(training):
        drawn += [sample_id for batch in micro_batches for sample_id in batch.ids]
        losses.append(float(engine.train_step(micro_batches)["loss"]))
    engine.close()
    assert set(drawn) == {sample.id for sample in training}
    assert len(losses) == 3
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)


def test_the_form_of_sa2va_holds_the_same_masks(folder: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    draw_replay(tmp_path / "data", FRAMES, form="sa2va")
    found = recognise(tmp_path / "data")
    config = DataConfig(format=found.format, root=tmp_path / "data", options=found.options)
    check = check_data(config, catalogue)
    assert codes(check) == {"too-few-points": 1, "overlapping-polygons": 3}
    records = json.loads((tmp_path / "data/annotations.json").read_text())
    assert Counter(len(record["mask"]) for record in records) == Counter(p.outlines for p in plan_frames(FRAMES, 0))
    labelme = {s.id: s for s in check_data(DataConfig(format="labelme", root=folder), catalogue).samples}
    unlike = 0
    for sample in check.samples:
        mine, other = load_example(sample).mask, load_example(labelme[sample.id]).mask
        assert mine is not None
        assert other is not None
        unlike += int((mine != other).sum())
    assert unlike < 0.001 * FRAMES * 512 * 512  # coordinates were rounded at another scale


def test_equal_arguments_give_equal_files(folder: Path, tmp_path: Path) -> None:
    draw_replay(tmp_path / "data", FRAMES)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "data" / path.name).read_bytes()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(UserError, match="is not empty"):
        draw_replay(tmp_path, 30)
