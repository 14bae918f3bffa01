"""What stands in the tables, and in the terminal's."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.benchmarking.test_kept import result
from vesselbench.benchmarking.kept import cost_sha256
from vesselbench.compare import compare, with_benchmarks
from vesselbench.report import comparison_record, score_tables, tables, terminal_table
from vesselbench.report.drawings.scores import draw_scores
from vesselbench.rundir import write_json

TWO = {"x": {"dice": 0.9, "hd": 4.0}, "y": {"dice": 0.7, "hd": None}}
GROUPS = {"x": "p1", "y": "p2"}


def texts(table):
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def printed(comparison, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(terminal_table(comparison))
    return console.file.getvalue()


def test_scores_are_means_with_medians_and_the_count_of_those_without(write_run):
    table = tables.score_table(compare([write_run("a", TWO, GROUPS)]))
    (row,) = table.rows
    assert table.columns == ("run", "dice ↑", "hd ↑")
    assert [cell.text for cell in row] == ["a", "0.800", "4.000"]
    assert [cell.note for cell in row] == ["threshold 0.4", "median 0.800", "median 4.000, 1 without"]


def test_the_best_mean_stands_out_and_so_does_one_that_reads_the_same(write_run):
    runs = [write_run(name, {"x": mean}) for name, mean in (("a", 0.90001), ("b", 0.9), ("c", 0.8))]
    marked = [row[1].strong for row in tables.score_table(compare(runs)).rows]
    assert marked == [True, True, False]


def test_where_lower_is_better_the_lowest_stands_out(write_run):
    runs = [write_run(name, {"x": mean}, better="lower") for name, mean in (("a", 0.9), ("b", 0.2))]
    table = tables.score_table(compare(runs))
    assert [row[1].strong for row in table.rows] == [False, True]
    assert table.columns[1] == "dice ↓"


def test_the_second_observer_is_the_last_row(write_run):
    runs = [write_run(name, {"x": 0.9}, observer2={"x": 0.77}) for name in "ab"]
    assert texts(tables.score_table(compare(runs)))["second observer"] == ["0.770"]


def test_a_second_observer_of_some_images_says_of_how_many(write_run):
    runs = [write_run(name, {"x": 0.9, "y": 0.8}, observer2={"x": 0.77}) for name in "ab"]
    comparison = compare(runs)
    assert tables.score_table(comparison).rows[-1][0].note == "a person, 1 of 2 images"
    assert "1 of 2" in printed(comparison)
    assert "second observer 0.770 (1 of 2 images)" in draw_scores(comparison).alt
    whole = compare([write_run(name, {"x": 0.9}, observer2={"x": 0.77}) for name in "cd"])
    assert "1 of 1" not in printed(whole)
    assert draw_scores(whole).alt.endswith("second observer 0.770")


def test_differences_say_interval_p_counts_and_the_outcome(write_run):
    runs = [
        write_run("a", TWO, GROUPS),
        write_run("b", {"x": {"dice": 0.8, "hd": 4}, "y": {"dice": 0.6, "hd": 4}}, GROUPS),
    ]
    comparison = compare(runs)
    table = score_tables.judgement_table(comparison.pairs[0], ["dice", "hd"])
    rows = texts(table)
    assert rows["dice ↑"][:2] == ["+0.100", "[+0.100, +0.100]"]
    assert rows["dice ↑"][3] == "2 / 0 / 0"
    assert rows["dice ↑"][-1] == "inconclusive"
    assert (rows["dice ↑"][2], table.rows[0][3].note) == ("0.5", "uncorrected 0.5")
    assert rows["hd ↑"][1] == "–"
    assert table.rows[1][2].note == "all images belong to one group, so nothing says how groups differ"


def test_empty_masks_are_counted_by_case(write_run):
    cases = {"x": "empty_prediction", "y": "both_empty"}
    rows = texts(tables.case_table(compare([write_run("a", TWO, GROUPS, cases=cases)])))
    assert rows == {"a": ["0", "1", "1", "0"]}


def test_costs_show_what_was_measured_and_a_dash_for_what_was_not(write_run):
    rows = texts(tables.cost_table(compare([write_run("a", TWO, GROUPS)])))
    assert rows["training time"] == ["2 min 0 s"]
    assert rows["peak memory"] == ["–"]
    assert rows["trainable parameters"] == ["400 k (100.0%)"]
    assert rows["steps × samples per step"] == ["200 × 4"]


def test_benchmarks_stand_among_the_costs_with_a_dash_for_a_run_without(write_run):
    a, b = write_run("a", TWO, GROUPS), write_run("b", TWO, GROUPS, config={"model": {"width": 8}})
    plain = compare([a, b])
    benchmark = replace(result(), cost_sha256=cost_sha256(plain.runs[0].config))
    comparison = with_benchmarks(plain, [benchmark])
    rows = texts(tables.cost_table(comparison))
    assert rows["benchmarked step"] == ["300 ms", "–"]
    assert rows["benchmarked step, samples/s"] == ["20", "–"]
    assert rows["benchmarked step, share of matmul peak"] == ["10.0%", "–"]
    assert not [name for name in texts(tables.cost_table(plain)) if "benchmarked" in name]
    assert "benchmarked step" in printed(comparison, width=120)
    assert comparison_record(comparison)["benchmarks"] == {"a": benchmark.as_json()}


def test_settings_are_divided_into_those_that_differ_and_those_shared(write_run):
    a = write_run("a", TWO, GROUPS, config={"train": {"lr": 0.01}})
    b = write_run("b", TWO, GROUPS, config={"model": {"width": 8}})
    unlike, shared = tables.setting_tables(compare([a, b]))
    assert texts(unlike) == {"train.lr": ["0.01", "0.001"], "model.width": ["–", "8"]}
    assert texts(shared)["train.augment.flip"] == ["true"]


def test_origins_show_hashes_threshold_and_start(write_run):
    run = write_run("a", TWO, GROUPS, base_weights={"/home/someone/base.safetensors": "0" * 64})
    rows = texts(tables.origin_table(compare([run])))
    assert rows["started from"] == ["base.safetensors"]
    assert rows["threshold"] == ["0.4 (from validation)"]
    assert rows["run folder"] == [f"a/{run.path.name}"]


def test_the_terminal_table_of_two_runs_fits_80_columns_and_cuts_nothing(write_run):
    values = {"x": {"dice": 0.9, "pixel_accuracy": 0.99}, "y": {"dice": 0.7, "pixel_accuracy": 0.97}}
    runs = [write_run(name, values, GROUPS, observer2=values) for name in ("sa2va", "unet")]
    text = printed(compare(runs))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for word in ("test set: 2 images of 2 groups", "pixel_accuracy ↑", "sa2va − unet", "[0.000, 0.000]", "observer"):
        assert word in text


def test_the_terminal_table_of_three_runs_lists_every_pair_below(write_run):
    means = (("a", 0.9), ("b", 0.8), ("c", 0.7))
    runs = [write_run(name, {f"i{n}": mean for n in range(8)}) for name, mean in means]
    text = printed(compare(runs))
    assert "dice, a − c: +0.200 [+0.200, +0.200], better" in text
    assert text.count(" − ") == 3


def test_markup_in_a_name_is_printed_not_obeyed(write_run):
    comparison = compare([write_run("a", TWO, GROUPS)])
    assert "[red]a" in printed(replace(comparison, runs=(replace(comparison.runs[0], label="[red]a"),)))


def test_the_record_is_json_and_holds_every_image(write_run, tmp_path):
    comparison = compare([write_run("a", TWO, GROUPS), write_run("b", TWO, GROUPS)])
    write_json(tmp_path / "comparison.json", comparison_record(comparison))
    record = json.loads((tmp_path / "comparison.json").read_text())
    assert record == json.loads(json.dumps(comparison_record(comparison)))
    assert record["images"][1] == {
        "id": "y",
        "group": "p2",
        "values": {"a": {"dice": 0.7, "hd": None}, "b": {"dice": 0.7, "hd": None}},
        "cases": {"a": ["ok"], "b": ["ok"]},
    }
    assert record["pairs"][0]["metrics"]["dice"]["interval"] == {"low": 0.0, "high": 0.0, "reason": ""}
    assert record["runs"][0]["metrics"]["hd"]["none"] == 1
    assert record["runs"][0]["metrics"]["dice"]["mean"] == pytest.approx(0.8)


def test_the_record_holds_what_the_page_tells_beside_the_numbers(write_run):
    curve = {"probability": [0.1, 0.9], "vessel": [0.0, 1.0], "count": [9.0, 1.0]}
    more = {"leaks": ["one leak"], "base_weights": {"model.safetensors": "ab" * 32}, "summary": {"calibration": curve}}
    run = write_run("a", TWO, GROUPS, **more)
    record = json.loads(json.dumps(comparison_record(compare([run, write_run("b", TWO, GROUPS)]))))
    assert record["split"]["leaks"] == ["one leak"]
    assert record["commands"][0] == "vesselbench train unet"
    assert record["commands"][-1] == "vesselbench verify evidence.zip"
    assert record["runs"][0]["calibration"] == curve
    (seed,) = record["runs"][0]["seeds"]
    assert seed["config"]["model"] == {"name": "unet"}
    assert seed["base_weights"] == {"model.safetensors": "ab" * 32}
    assert seed["versions"]["torch"] == "2.13.0"
