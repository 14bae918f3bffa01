"""What is said before the first step: every count of the whole work, and later how long it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vesselbench.config import TrainConfig
from vesselbench.data.dataset import Dataset
from vesselbench.training.accounting import PROBE, Accounting, Forecast, account, checkpoint_bytes, checkpoint_steps
from vesselbench.types import Sample


def samples(images: int, per_image: int, per_group: int) -> list[Sample]:
    return [
        Sample(id=f"{image}-{k}", image=Path(f"{image}.png"), mask=None, target=f"t{k}", group=f"g{image // per_group}")
        for image in range(images)
        for k in range(per_image)
    ]


def counted(train: TrainConfig, steps: int | None, tmp_path: Path, **changes) -> Accounting:
    model = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.Linear(10, 2))
    model[0].requires_grad_(False)
    sets = {"train": samples(1220, 1, 61), "val": samples(100, 2, 50)}
    options = {"stage": 3, "world": 4, "by_image": False, "lowered": False, "folder": tmp_path, **changes}
    return account(train, "3 epochs", steps, sets, model, {"a": (110, 0), "b": (22, 22)}, **options)


def test_459_steps_of_32_on_4_processes_are_3672_micro_batches_each_and_14688_samples(tmp_path):
    train = TrainConfig(steps=459, batch_size=32, micro_batch=1)
    made = counted(train, 459, tmp_path)
    assert (made.optimizer_steps, made.micro_batches, made.seen) == (459, 3672, 14_688)
    assert made.epochs == pytest.approx(12.04, abs=0.01)
    rows = dict(made.rows())
    assert rows["train set"] == "1,220 samples in 1,220 images of 20 groups"
    assert rows["val set"] == "200 samples in 100 images of 2 groups"
    assert rows["effective batch"] == "32 samples = 4 processes x 1 per micro-batch x 8 accumulated"
    assert rows["micro-batches"] == "3,672 per process"
    assert rows["epochs"] == "12.0 passes over 1,220 samples"
    assert rows["parameters in all"] == "132, trainable 22 (16.67%)"
    told = made.as_json()
    assert told["trainable_share"] == pytest.approx(22 / 132)
    assert (told["micro_batches"], told["seen"]) == (3672, 14_688)


def test_where_images_are_drawn_the_unit_is_the_image(tmp_path):
    sets = {"train": samples(30, 3, 5)}
    made = account(TrainConfig(steps=15, batch_size=4), "15 steps", 15, sets, torch.nn.Linear(2, 2), {"a": (6, 6)},
                   stage=0, world=1, by_image=True, lowered=False, folder=tmp_path)  # fmt: skip
    assert (made.unit, made.training_set, made.epochs) == ("images", 30, 2.0)
    assert dict(made.rows())["images seen"] == "60"


def test_a_training_that_the_clock_ends_has_no_invented_counts(tmp_path):
    made = counted(TrainConfig(minutes=5, batch_size=32, micro_batch=1), None, tmp_path)
    assert (made.seen, made.epochs, made.micro_batches, made.checkpoints) == (None, None, None, None)
    rows = dict(made.rows())
    assert rows["optimizer steps"] == "not known: the clock ends it"
    assert "an unknown number of about" in rows["checkpoints"]


def test_the_states_are_those_of_the_plan_and_what_is_not_in_them_is_said(tmp_path):
    made = counted(TrainConfig(steps=1, batch_size=4), 1, tmp_path, lowered=True)
    assert made.state_bytes == {"weights": 132 * 2 // 4, "gradients": 22 * 2 // 4, "optimizer": 22 * 12 // 4}
    assert "not in it: activations" in dict(made.rows())["foreseen per process"]


@pytest.mark.parametrize(
    ("options", "steps", "expected"),
    [
        ({"validate_every": 4}, 10, {4, 8, 10}),
        ({"validate_every": 5, "save_every": 2}, 10, {2, 4, 5, 6, 8, 10}),
        ({}, 7, {7}),
    ],
)
def test_checkpoints_are_written_at_validations_at_saves_and_at_the_end(options, steps, expected):
    assert checkpoint_steps(TrainConfig(**options), steps) == expected


def test_fewer_checkpoints_than_may_be_kept_are_all_kept(tmp_path):
    train = TrainConfig(steps=9, batch_size=4, validate_every=3, keep=4)
    assert counted(train, 9, tmp_path).checkpoints_kept == 3
    assert counted(train.model_copy(update={"keep": 1}), 9, tmp_path).checkpoints_kept == 2


@pytest.mark.parametrize(
    ("options", "lowered", "per_weight"),
    [
        ({}, False, 12),
        ({}, True, 14),
        ({"optimizer": "sgd"}, False, 8),
        ({"optimizer": "sgd", "momentum": 0}, False, 4),
    ],
)
def test_a_checkpoint_holds_weights_moments_and_the_fp32_copy(options, lowered, per_weight):
    model = torch.nn.Linear(10, 10, bias=False, dtype=torch.bfloat16 if lowered else torch.float32)
    assert checkpoint_bytes(model, TrainConfig(**options), bool(lowered)) == 100 * per_weight


def forecast(**changes) -> Forecast:
    train = TrainConfig(steps=105, validate_every=50)
    return replace(Forecast(train, 105, 2, images=9, smoke_seconds=2.0), **changes)


def test_the_duration_is_foretold_once_from_the_steps_after_the_first():
    made = forecast()
    told = [made.after(step, 60.0 if step == 1 else 1.0) for step in range(1, 9)]
    assert [step for step, words in enumerate(told, 1) if words is not None] == [PROBE]
    seconds, words = told[PROBE - 1]
    # 100 steps of 1 s; validations after 50, 100 and 105, each 5 images on the slower process; all 9 scored at the end
    assert seconds == 100 + 3 * 5 * 2.0 + 9 * 2.0
    assert words.startswith(
        "about 2 min 28 s to go: 100 steps of 1 s (the mean of 4 steps, the first left out) = 1 min"
    )
    assert "3 validations of 9 images at 10 s and the last scoring at 18 s" in words
    assert "Checkpoints are not in it" in words


def test_a_whole_validation_before_the_first_step_stands_in_for_the_one_image():
    made = forecast()
    made.learn(15.0)  # 9 images, 5 of them on the slower process
    assert made.smoke_seconds == 3.0


def test_by_the_clock_the_time_that_is_left_counts():
    made = forecast(train=TrainConfig(minutes=1), steps=None, images=0)
    for step in range(1, PROBE):
        assert made.after(step, 2.0) is None
    seconds, words = made.after(PROBE, 2.0)
    assert seconds == 50
    assert "50 s of steps by the clock" in words


def test_a_real_run_records_its_accounting_before_the_steps_and_the_checkpoint_is_as_large_as_foreseen(
    catalogue, device, tmp_path
):
    from vesselbench.recipes import load_recipe
    from vesselbench.training.loop import train
    from vesselbench.watch import Silent

    words = ["data.options.images=12", "data.options.size=64", "data.options.per_group=2", "train.steps=6"]
    words += ["train.device=cpu", "train.zero_stage=0", "train.batch_size=2", "model.channels=[32,64]"]
    words += ["evaluation.metrics=[dice]"]
    recipe, _ = load_recipe("unet", catalogue, [], words)
    record = train(recipe, catalogue, tmp_path, Silent()).record()
    told = record["accounting"]
    assert (told["optimizer_steps"], told["seen"], told["world"]) == (6, 12, 1)
    assert told["parts"] == record["parameters"]["parts"]
    assert told["sets"]["train"]["samples"] == told["training_set"]
    (folder,) = [path for path in tmp_path.glob("unet/*/checkpoints/*") if path.name.isdigit()]
    written = sum(path.stat().st_size for path in folder.iterdir())
    assert told["checkpoint_bytes"] == pytest.approx(written, rel=0.05)
    assert record["forecast"]["seconds"] > 0
    assert "1 steps of" in record["forecast"]["how"]


def test_a_dry_run_goes_the_whole_road_for_the_training_it_announces_and_leaves_nothing(catalogue, device, tmp_path):
    from vesselbench.recipes import load_recipe
    from vesselbench.training.rehearsal import rehearse
    from vesselbench.watch import Silent

    class Said(Silent):
        def __init__(self) -> None:
            self.tables: dict[str, dict[str, str]] = {}
            self.lines: list[str] = []

        def table(self, title, rows) -> None:
            self.tables[title] = dict(rows)

        def line(self, text) -> None:
            self.lines.append(text)

    words = ["data.options.images=30", "data.options.size=64", "train.epochs=7", "train.validate_every=5"]
    words += ["train.device=cpu", "model.channels=[4,8]", "train.batch_size=4", "trackers=[tensorboard]"]
    recipe, said = load_recipe("unet", catalogue, [], words)[0], Said()
    rehearse(recipe, catalogue, tmp_path / "runs", said)
    announced = said.tables["Before the first step"]
    assert announced["length"] == "7 epochs"
    assert announced["optimizer steps"] == "32"
    worked = said.tables["Dry run: all of this worked"]
    assert worked["train"].startswith("2 optimizer steps, losses ")
    assert worked["evaluate"].startswith("2 validation samples by ")
    assert worked["folder"] == "removed"
    assert any("to go: 32 steps of" in line for line in said.lines)
    assert list((tmp_path / "runs").iterdir()) == []
    rehearse(recipe, catalogue, tmp_path / "runs", said, keep=True)
    kept = Path(said.tables["Dry run: all of this worked"]["folder"].removeprefix("kept: "))
    assert not (kept / "tensorboard").exists(), "trackers stay off"
    assert list((tmp_path / "runs").glob("*/*/run.json")) == [], "no command takes it for a run of the recipe"
    assert (kept / "run.json").is_file()


def test_a_dry_run_that_fails_says_so_and_leaves_nothing(catalogue, device, tmp_path):
    from vesselbench.errors import UserError
    from vesselbench.recipes import load_recipe
    from vesselbench.training.rehearsal import rehearse
    from vesselbench.watch import Silent

    words = ["data.options.images=30", "data.options.size=64", "train.lr=1e30", "train.device=cpu"]
    recipe, _ = load_recipe("unet", catalogue, [], [*words, "model.channels=[4,8]", "train.clip=0", "train.warmup=0"])
    with pytest.raises(UserError, match="not finite"):
        rehearse(recipe, catalogue, tmp_path / "runs", Silent())
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_data_set_of_the_other_tests_is_counted_as_it_is(dataset: Dataset, tmp_path):
    sets = {name: dataset.of(name) for name in dataset.split.sets}
    made = account(TrainConfig(steps=1), "1 steps", 1, sets, torch.nn.Linear(2, 2), {"a": (6, 6)},
                   stage=0, world=1, by_image=False, lowered=False, folder=tmp_path)  # fmt: skip
    assert {name: (s["samples"], s["groups"]) for name, s in made.sets.items()} == dataset.counts()
