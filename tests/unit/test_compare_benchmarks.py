"""What `vesselbench bench` found stands beside the runs that compute the same, and of one machine alone."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.benchmarking.test_kept import result
from tests.unit.benchmarking.test_machine import MACHINE
from vesselbench.benchmarking.kept import cost_sha256
from vesselbench.compare import compare, with_benchmarks


def test_benchmarks_are_those_of_one_machine_and_runs_without_one_are_named(write_run):
    runs = [write_run(name, {"x": 0.9}, {"x": "p"}, config={"model": {"width": w}}) for name, w in (("a", 4), ("b", 8))]
    comparison = compare(runs)
    here = replace(result(), cost_sha256=cost_sha256(comparison.runs[0].config))
    there = replace(here, machine=replace(MACHINE, cores=2), measured="before")
    shown = with_benchmarks(comparison, [here, there])
    assert shown.benchmarks.results == {"a": here}
    assert shown.notes[-1] == (
        f"Benchmarked on {MACHINE.words} (fingerprint {MACHINE.fingerprint}): results of the same model, data and "
        "settings of a step as the runs; none there of b; 1 of other machines are left out."
    )
    assert with_benchmarks(comparison, []) == comparison


def test_seeds_of_one_recipe_share_a_result(write_run):
    seeds = [write_run("a", {"x": 0.9}, {"x": "p"}, config={"train": {"seed": seed}}, seed=seed) for seed in (0, 1)]
    other = write_run("b", {"x": 0.8}, {"x": "p"}, config={"model": {"width": 8}})
    comparison = compare([*seeds, other])
    benchmark = replace(result(), cost_sha256=cost_sha256(comparison.runs[0].seeds[1].config))
    assert with_benchmarks(comparison, [benchmark]).benchmarks.results == {"a": benchmark}
