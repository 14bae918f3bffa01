"""A kept result belongs to a run that computes the same; results of two machines never stand together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.benchmarking.test_figures import STEP
from tests.unit.benchmarking.test_machine import MACHINE
from vesselbench.benchmarking.kept import COSTLESS, Benchmark, Matched, cost_sha256, keep, kept, match
from vesselbench.config import TrainConfig

CONFIG: dict[str, Any] = {
    "name": "unet",
    "model": {"name": "unet", "channels": [8, 16]},
    "data": {"format": "phantom"},
    "train": {"steps": 200, "batch_size": 4, "seed": 1, "device": "auto", "zero_stage": 0},
    "evaluation": {"primary": "dice"},
}
OTHER = replace(MACHINE, processor="another")


def result(config: dict[str, Any] = CONFIG, machine=MACHINE, measured: str = "first") -> Benchmark:
    return Benchmark(config["name"], config["model"]["name"], measured, cost_sha256(config), machine, (STEP,))


def changed(part: str, **values: Any) -> dict[str, Any]:
    return {**CONFIG, part: {**CONFIG[part], **values}}


@pytest.mark.parametrize("key", ["steps", "seed", "lr", "validate_every", "device"])
def test_what_changes_no_time_of_a_step_changes_no_hash(key):
    assert cost_sha256(changed("train", **{key: 7})) == cost_sha256(CONFIG)
    assert cost_sha256({**CONFIG, "name": "mine", "evaluation": {}}) == cost_sha256(CONFIG)


@pytest.mark.parametrize(
    ("part", "values"),
    [("model", {"channels": [8]}), ("data", {"format": "coco"}), ("train", {"batch_size": 2}), ("train", {"new": 1})],
)
def test_what_may_change_the_time_changes_the_hash(part, values):
    assert cost_sha256(changed(part, **values)) != cost_sha256(CONFIG)


def test_every_key_that_is_left_out_is_one_of_the_recipe():
    assert set(TrainConfig.model_fields) >= COSTLESS


def test_results_come_back_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    times = iter(["20260101-000000", "20260102-000000"])
    monkeypatch.setattr("vesselbench.rundir.time.strftime", lambda *_: next(times))
    keep(result(measured="first"), tmp_path)
    keep(result(measured="second"), tmp_path)
    assert kept(tmp_path, pytest.fail) == [result(measured="second"), result(measured="first")]
    assert kept(tmp_path / "elsewhere", pytest.fail) == []


@pytest.mark.parametrize("text", ['{"recipe": "unet"}', "half a li", "[]"])
def test_a_damaged_result_is_named_and_the_others_are_read(tmp_path: Path, text: str):
    path = keep(result(), tmp_path)
    keep(result(measured="second"), tmp_path)
    path.write_text(text)
    said: list[str] = []
    assert kept(tmp_path, said.append) == [result(measured="second")]
    assert len(said) == 1
    assert path.name in said[0]


def test_the_newest_result_of_an_equal_configuration_belongs_to_a_run():
    wide = changed("model", channels=[64])
    results = [result(wide), result(measured="second"), result(measured="first")]
    assert match({"a": CONFIG}, results) == Matched({"a": result(measured="second")})
    assert match({"a": changed("train", batch_size=1)}, results) == Matched()


def test_results_of_one_machine_alone_are_taken_that_of_most_runs():
    wide = changed("model", channels=[64])
    results = [result(machine=OTHER, measured="third"), result(), result(wide)]
    assert match({"a": CONFIG, "b": wide}, results) == Matched({"a": result(), "b": result(wide)}, elsewhere=1)
    assert match({"a": CONFIG}, results) == Matched({"a": result(machine=OTHER, measured="third")}, elsewhere=1)
    assert match({"a": CONFIG}, results).machine == OTHER


def test_a_model_without_training_has_no_figures_of_a_step():
    assert result().of("training step") == STEP
    assert result().of("prediction") is None
