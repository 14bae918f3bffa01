"""`vesselbench plan` prints everything that a user needs to know before a training, and the same as JSON."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from vesselbench.cli import app

JOB = ["sa2va-8b-the-job", "data.options.images=8", "--device", "rtx3090", "--gpus", "4", "--interconnect", "pcie3"]
SETTINGS = ["0", "0 C", "1", "1 O", "1 C", "1 C O", "2", "2 O", "2 C", "2 C O"]
SETTINGS += ["3", "3 O", "3 OW", "3 C", "3 C O", "3 C OW"]
LIMITS = r"(compute \((arithmetic|memory bandwidth)\)|traffic between ranks|traffic to host memory)"
UNET = ["unet", "data.options.images=10", "data.options.size=64", "configure=[]", "train.augment.crop=64"]


def run(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["plan", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def printed():
    return run(*JOB)


@pytest.fixture(scope="module")
def found():
    return json.loads(run(*JOB, "--json"))


def rows_of(text: str, title: str) -> list[list[str]]:
    """The cells of a table by its title, the head first."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.strip().startswith(title))
    cells = [re.split(r" {2,}", line.strip()) for line in lines if "─" not in line]
    start = next(number for number, row in enumerate(cells) if row != [""])
    end = next(number for number, row in enumerate(cells) if number > start and row == [""])
    return cells[start:end]


def flat(text: str) -> str:
    """Captions are wrapped: all white space as one blank."""
    return " ".join(text.split())


def test_parameters_stand_by_part_with_what_is_trained(printed, found):
    _, *rows, in_all = rows_of(printed, "Parameters")
    assert rows == [[name, f"{count:,}", f"{learned:,}"] for name, (count, learned) in found["parts"].items()]
    assert in_all == ["in all", "9,423,816,641", "1,293,966,116 (13.73%)"]
    assert ["lora", "161,480,704", "161,480,704"] in rows
    assert ["new tokens", "1,087,235,072", "1,087,235,072"] in rows


def test_memory_stands_by_category_for_every_stage_with_and_without_checkpointing_and_offload(printed, found):
    head, *rows = rows_of(printed, "Memory in GiB per rank, 4 x rtx3090, micro-batch 1")
    parts = ["weights", "grads", "optim.", "gather", "activ.", "logits", "other"]
    assert head == ["setting", *parts, "in all", "host", "fits"]
    assert [row[0] for row in rows] == SETTINGS
    for name, *numbers, fits in rows:
        *categories, total, host = map(float, numbers)
        assert sum(categories) == pytest.approx(total, abs=0.05), name
        assert host > 0
        assert fits == ("yes" if total < 22.8 else "no")
    alone = [json_row for json_row in found["settings"] if json_row["micro_batch"] == 1]
    assert sorted(f"{one['memory']['total'] / 2**30:.2f}" for one in alone) == sorted(row[8] for row in rows)
    assert sorted(f"{one['host_bytes'] / 2**30:.2f}" for one in alone) == sorted(row[9] for row in rows)


def test_captions_say_what_the_numbers_leave_open(printed):
    said = flat(printed)
    assert "Where activ. is 0.00 the optimizer's step is the highest point" in said
    assert "host: of the machine for all ranks" in said
    assert "12 GB/s per rank to the host" in said
    assert "50 GB/s for all ranks together" in said
    assert 'rtx3090: NVIDIA, "Ampere GA102 GPU architecture" whitepaper v2' in said
    assert "https://forum.level1techs.com/t/gpu-gpu-expected-bandwidth/185531" in said
    assert "lower bound" not in said


def test_the_recipes_own_cost_is_split_and_summed(printed, found):
    rows = dict(rows_of(printed, "The recipe as it is set")[1:])
    assert rows["setting"] == "3 C, 8 accumulated x micro-batch 1 per rank"
    assert rows["fits"].startswith("yes: 14.4 GiB of 22.8 GiB")
    assert rows["optimizer steps"] == "459"
    seconds = found["own"]["seconds"]
    assert seconds["total"] == pytest.approx(seconds["compute"] + seconds["communication"] + seconds["offload"])
    assert rows["compute"] == f"{seconds['compute']:.3g} s"
    assert rows["traffic between ranks"].endswith(f"{seconds['sent'] / 2**30:.3g} GiB sent per rank")
    assert rows["traffic to host memory"] == "0 ms"
    assert rows["one micro-batch"] == f"{seconds['total'] / 8:.3g} s"
    assert rows["limited by"] == "traffic between ranks"
    hours = found["hours"]
    assert rows["training"] == "{} h {} min".format(*divmod(round(3600 * hours) // 60, 60))
    assert found["hours"] == pytest.approx(459 * seconds["total"] / 3600)
    assert rows["energy"] == f"at most {found['kilowatt_hours']:.3g} kWh (350 W each)"
    assert found["kilowatt_hours"] == pytest.approx(hours * 4 * 350 / 1000)
    assert rows["checkpoint"] == "2.59 GB of weights, 15.5 GB more to resume from"
    assert rows["all checkpoints"] == "1 written, at most 1 at once: 18.1 GB in the run folder"


def test_settings_that_fit_are_ranked_with_what_limits_each(printed, found):
    head, *rows = rows_of(printed, "Settings that fit, fastest first")
    assert head == ["setting", "memory", "step", "compute", "between ranks", "to host", "limit"]
    assert len(rows) == 8
    fitting = [one for one in found["settings"] if one["fits"]]
    assert [row[0] for row in rows] == [
        f"{one['stage']}{' C' * one['checkpointing']}{ {'none': '', 'optimizer': ' O', 'both': ' OW'}[one['offload']] }"
        f", {8 // one['micro_batch']} x {one['micro_batch']}"
        for one in fitting[:8]
    ]
    times = [one["seconds"]["total"] for one in fitting]
    assert times == sorted(times)
    assert all(re.fullmatch(LIMITS, row[-1]) for row in rows)
    assert f"{len(fitting)} of {len(found['settings'])} settings fit" in printed


def test_both_gains_are_named_with_the_words_that_give_them(printed, found):
    rows = dict(rows_of(printed, "The recipe as it is set")[1:])
    larger, fastest = (found["gain"][name] for name in ("larger", "fastest"))
    assert larger["overrides"] == ["train.micro_batch=8"]
    for one, row in ((larger, "gain, micro-batch alone"), (fastest, "gain, fastest that fits")):
        assert rows[row].startswith(" ".join(one["overrides"]) + ": ")
        assert rows[row].endswith(f"{one['factor']:.2f} times as fast")
        assert one["factor"] == pytest.approx(found["own"]["seconds"]["total"] / one["seconds"]["total"])
    assert fastest["seconds"]["total"] == next(one for one in found["settings"] if one["fits"])["seconds"]["total"]


def test_the_words_of_the_fastest_setting_give_its_plan(found):
    words = found["gain"]["fastest"]["overrides"]
    assert words
    again = json.loads(run(JOB[0], *words, *JOB[1:], "--json"))
    assert again["own"]["seconds"] == found["gain"]["fastest"]["seconds"]
    assert again["own"]["memory"] == found["gain"]["fastest"]["memory"]
    assert again["gain"]["fastest"] is None


def test_the_json_has_what_the_tables_are_made_of(found):
    assert found["device"]["source"].startswith("NVIDIA")
    assert "level1techs" in found["interconnect"]["source"]
    assert found["checkpoints"]["total"] == found["checkpoints"]["weights"] + found["checkpoints"]["state"]
    assert found["lower_bound"] is False
    assert len(found["settings"]) == len(SETTINGS) * 4


def test_a_small_models_seconds_are_called_a_lower_bound_until_they_are_measured():
    said = flat(run(*UNET))
    assert "A lower bound: Python's own time and the data are not counted; --probe measures them." in said
    assert "Logits are in activ." in said
    assert "GB/s per rank to the host" not in said, "nothing is moved on a processor"
    assert json.loads(run(*UNET, "--device", "h100", "--json"))["lower_bound"] is True


def test_a_probe_takes_real_steps_whose_seconds_become_those_of_the_plan():
    found = json.loads(run(*UNET, "train.batch_size=2", "--probe", "--json"))
    calibration = found["calibration"]
    assert [line.split(":")[0] for line in calibration["lines"][:2]] == ["probe", "probe"]
    assert calibration["lines"][0].startswith("probe: 5 steps of 1 x 2: ")
    assert found["own"]["seconds"]["total"] == pytest.approx(calibration["each"] + calibration["rest"])
    assert 0 < found["own"]["seconds"]["total"] < 60


def test_no_column_is_cut_on_a_terminal_of_80():
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["plan", *JOB])
    assert done.exit_code == 0, done.output
    assert "setting weights grads optim. gather activ. logits other in all host" in flat(done.stdout)
    assert "\u2026" not in done.stdout
