"""Which stored prediction an export is held against."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from vesselbench.data.masks import mask_sha256
from vesselbench.recipes import validate_recipe
from vesselbench.reopen import open_recipe
from vesselbench.reproduction import find_evidence
from vesselbench.rundir import file_sha256, write_jsonl
from vesselbench.runs import score_run
from vesselbench.training.loop import train
from vesselbench.watch import Silent


def _store(run, set_name, masks) -> None:
    """Let a run have predicted other masks of a set."""
    rows = []
    for row, mask in zip(run.scores(set_name).rows, masks, strict=True):
        Image.fromarray(mask).save(run.prediction_file(set_name, row.id))
        rows.append({**dataclasses.asdict(row), "mask_sha256": mask_sha256(mask)})
    write_jsonl(run.evaluation(set_name) / "scores.jsonl", rows)


def _with_foreground(count) -> np.ndarray:
    mask = np.zeros(4096, bool)
    mask[:count] = True
    return mask.reshape(64, 64)


def test_the_evidence_is_the_stored_mask_nearest_to_half_foreground_of_the_first_set_that_has_a_mixed_one(
    catalogue, device, tmp_path
):
    values = {
        "name": "net",
        "model": {"name": "unet", "channels": [4, 8]},
        "data": {"options": {"images": 12, "size": 64, "per_group": 2}},
        "train": {"steps": 1, "batch_size": 2, "device": "cpu", "zero_stage": 0},
    }
    run = train(validate_recipe(values, catalogue), catalogue, tmp_path / "runs", Silent())
    recipe, weights = open_recipe(run, catalogue), file_sha256(run.weights())
    score_run(run, "test", catalogue, Silent())
    sizes = {name: len(run.scores(name).rows) for name in ("val", "test")}
    assert min(sizes.values()) >= 2

    def found(**counts):
        for name, each in counts.items():
            _store(run, name, [_with_foreground(count) for count in each[: sizes[name]]])
        evidence = find_evidence(run, recipe, catalogue, weights)
        assert evidence.example.sample.id == run.scores(evidence.set_name).rows[evidence.number - 1].id
        return evidence.set_name, int(evidence.mask.sum())

    assert found(val=[2048] * 9, test=[1, 4000, 4095, 4096] + [0] * 9) == ("test", 4000)
    assert found(test=[4096, 0] * 5, val=[1, 3000] + [0] * 9) == ("val", 3000)
    assert found(val=[4096, 0] * 5) == ("test", 4096)
