from __future__ import annotations

import json

import pytest
import torch

from vesselbench import UserError
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.rundir import RunDir, file_sha256
from vesselbench.training.checkpoints import Checkpoints
from vesselbench.training.progress import Progress
from vesselbench.training.saving import save_checkpoint
from vesselbench.training.state import States
from vesselbench.types import ScoreRow, Scores

CATALOGUE = load_catalogue("monai")


class Plain:
    """A model as `Checkpoints` sees it."""

    def __init__(self) -> None:
        self.module = torch.nn.Linear(2, 2)

    def base(self) -> dict:
        return {"files": {}, "bits": ""}


def scores(dice: float | None) -> Scores:
    row = ScoreRow("a", "g", "vessel", {"dice": dice}, reasons={} if dice is not None else {"dice": "nothing there"})
    return Scores((row,), "val", 0.5, "f", {"dice": 1})


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    recipe = validate_recipe({"name": "x", "model": {"name": "unet"}, "train": {"keep": 2}}, CATALOGUE)
    run = RunDir(tmp_path)
    run.update(status="running")
    return Checkpoints(run, recipe, CATALOGUE, Plain(), States(), Progress())


def steps(tmp_path) -> list[int]:
    return sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())


def test_a_checkpoint_states_its_size_and_hash_and_leaves_no_draft(tmp_path):
    folder = save_checkpoint(RunDir(tmp_path), 7, torch.nn.Linear(2, 2), None)
    meta = json.loads((folder / "meta.json").read_text())
    weights = folder / "weights.safetensors"
    size = weights.stat().st_size
    assert (meta["step"], meta["world"], meta["bytes"]) == (7, 1, size)
    assert meta["files"] == {"weights.safetensors": {"bytes": size, "sha256": file_sha256(weights)}}
    assert [path.name for path in folder.parent.iterdir()] == ["7"]


def test_the_best_and_the_newest_are_kept_and_the_rest_goes(checkpoints, tmp_path):
    for step, dice in [(1, 0.9), (2, 0.5), (3, 0.6), (4, 0.7)]:
        checkpoints.offer_best(step, scores(dice))
    assert steps(tmp_path) == [1, 3, 4]
    record = RunDir(tmp_path).record()
    assert (record["best_step"], record["best_score"], record["last_step"]) == (1, 0.9, 4)


def test_a_later_equal_score_is_not_better_and_a_missing_one_never_is(checkpoints):
    assert "best so far" in checkpoints.offer_best(1, scores(0.5))
    assert "best so far" not in checkpoints.offer_best(2, scores(0.5))
    assert checkpoints.offer_best(3, scores(None)).startswith("step 3: validation dice none")
    assert checkpoints.progress.best_step == 1


def test_saving_a_step_twice_keeps_the_first(checkpoints, tmp_path):
    checkpoints.save(5)
    before = file_sha256(tmp_path / "checkpoints/5/weights.safetensors")
    checkpoints.save(5)
    assert file_sha256(tmp_path / "checkpoints/5/weights.safetensors") == before


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(checkpoints, tmp_path):
    checkpoints.save(1)
    kept = checkpoints.progress.best_step
    for step in (2, 3):
        checkpoints.save(step)
    weights = tmp_path / "checkpoints/3/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    step, said = checkpoints.resume()
    assert step == 2
    assert any("checkpoint 3 is passed over: weights.safetensors is not what was written" in text for text in said)
    assert (tmp_path / "checkpoints/3.damaged").is_dir()
    assert kept is None


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "meta.json"])
def test_a_checkpoint_that_was_cut_short_is_passed_over(name, checkpoints, tmp_path):
    checkpoints.save(1)
    checkpoints.save(2)
    path = tmp_path / "checkpoints/2" / name
    path.write_bytes(path.read_bytes()[:-3])
    assert checkpoints.resume()[0] == 1


def test_another_base_is_refused(checkpoints):
    checkpoints.save(1)
    checkpoints._base = {"files": {}, "bits": "0" * 64}
    with pytest.raises(UserError, match="was trained on another base"):
        checkpoints.resume()


def test_only_the_newest_checkpoint_keeps_its_state_when_asked(checkpoints, tmp_path):
    checkpoints._newest_only = True
    checkpoints.save(1)
    assert "bytes, " in checkpoints.save(2)
    assert not (tmp_path / "checkpoints/1/state.json").exists()
    assert (tmp_path / "checkpoints/2/state.json").exists()
    assert checkpoints.resume()[0] == 2
    (tmp_path / "checkpoints/2/meta.json").unlink()
    assert checkpoints.resume()[0] == 0
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1.without-state", "2.damaged"]
