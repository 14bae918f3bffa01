"""What has become slower is told from noise and from a slow machine; a baseline is never overwritten unseen.

The simulated sessions: rounds spread by 5 %, every tenth 1.5 times as long (another program), sessions differ by 3 %,
rounds and references each for themselves, and half of the sessions fall into an hour in which all is 1.4 times as slow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import baseline, gate
from benchmarks.baseline import Baseline, baseline_file, change_of, other_work, read_baseline, together
from tests.unit.benchmarking.test_machine import MACHINE
from vesselbench.benchmarking.figures import REFERENCES, Figures
from vesselbench.comparing.gates import GATE_FAILED
from vesselbench.errors import UserError

NAME = "benchmarks/bench_a.py::bench_a"
OTHER = "benchmarks/bench_b.py::bench_b[unet-0]"


def session(seed: int, slower: float = 1.0, hour: float = 1.0, rounds: int = 15) -> Figures:
    """One entry in one session: `slower` is the code's doing, `hour` the machine's."""
    rng = np.random.default_rng(seed)

    def spread() -> np.ndarray:
        own = np.exp(rng.normal(0, 0.03) + rng.normal(0, 0.05, rounds))
        return own * np.where(rng.random(rounds) < 0.1, 1.5, 1.0) * hour

    seconds = tuple(map(float, slower * spread()))
    references = {name: tuple(map(float, 1e11 / spread())) for name in REFERENCES}
    return Figures(NAME, seconds, 2, 4, 0.1, 10**9, 10**8, 10**6, references, "cpu", "float32", 1)


def slower_twice(number: int, slower: float) -> bool:
    """The gate's decision about one entry, with its second measurement."""
    before = session(3 * number, hour=1.4 if number % 2 else 1.0)
    first, second = (session(3 * number + n, slower, 1.4 if number % 4 > 1 else 1.0) for n in (1, 2))
    return change_of(NAME, before, first).is_suspect and gate.is_confirmed(NAME, before, first, second)[0]


@pytest.fixture
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(baseline, "RESAMPLES", 500)


def test_no_change_is_called_slower_once_in_a_hundred_at_most(fewer_resamples):
    assert sum(slower_twice(number, 1.0) for number in range(300)) <= 3


def test_half_as_slow_again_is_found_in_nine_of_ten(fewer_resamples):
    assert sum(slower_twice(number, 1.5) for number in range(100)) >= 90


def test_a_slow_hour_is_no_change():
    for number in range(20):
        change = change_of(NAME, session(number), session(100 + number, hour=1.6))
        assert not change.is_regression
        assert 0.8 < change.ratio < 1.25  # of the 1.6 nothing is left but the sessions' own spread


def test_a_reference_that_explains_the_change_speaks_against_it():
    now = session(1, slower=1.5)
    matmul = tuple(rate / 1.5 for rate in now.references["matmul"])
    excused = replace(now, references={**now.references, "matmul": matmul})
    assert change_of(NAME, session(0), now).is_regression
    assert not change_of(NAME, session(0), excused).is_regression


def test_faster_code_is_seen_as_such():
    assert change_of(NAME, session(0), session(1, slower=0.5)).is_improvement
    assert not change_of(NAME, session(0), session(1)).is_improvement


def test_two_measurements_together_have_the_rounds_of_both():
    both = together(session(0), session(1, rounds=9))
    assert len(both.seconds) == 24
    assert {len(rates) for rates in both.references.values()} == {24}


def test_other_work_is_not_compared():
    assert other_work(session(0), session(1)) == []
    assert other_work(session(0), replace(session(1), samples=8)) == ["samples 4 then, 8 now"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(baseline.FOLDER, str(tmp_path / "baselines"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "baselines"


def results(path: Path, entries: Mapping[str, Figures]) -> Path:
    """A file as pytest-benchmark writes it."""
    noted = [
        {"fullname": name, "extra_info": {"figures": figures.as_json(), "machine": MACHINE.__dict__}}
        for name, figures in entries.items()
    ]
    path.write_text(json.dumps({"benchmarks": noted}))
    return path


class Pytest:
    """Stands in for the second run: hands out figures and remembers what was asked for."""

    def __init__(self, entries: Mapping[str, Figures]) -> None:
        self.entries, self.asked = entries, []

    def __call__(self, words, result: Path) -> None:
        self.asked.append(list(words))
        results(result, {name: self.entries[name] for name in words})


def held(tmp_path: Path, entries: Mapping[str, Figures], again: Pytest) -> tuple[int, str]:
    said: list[str] = []
    code = gate.hold(gate.read_measured(results(tmp_path / "benchmark.json", entries)), again, said.append)
    return code, "\n".join(said)


def test_a_new_machine_gets_a_baseline_and_is_told_so(folder, tmp_path):
    code, said = held(tmp_path, {NAME: session(0)}, Pytest({}))
    assert code == 0
    assert f"no baseline of this machine ({MACHINE.words}): stored these 1 in {folder / MACHINE.fingerprint}" in said
    assert read_baseline(MACHINE).entries == {NAME: session(0)}
    assert read_baseline(replace(MACHINE, threads=1)) is None


def test_a_slower_entry_is_measured_again_alone_named_and_ends_with_3(folder, tmp_path):
    held(tmp_path, {NAME: session(0), OTHER: session(1)}, Pytest({}))
    again = Pytest({OTHER: session(3, slower=1.6)})
    code, said = held(tmp_path, {NAME: session(2), OTHER: session(4, slower=1.6)}, again)
    assert code == GATE_FAILED
    assert again.asked == [[OTHER]]
    assert f"SLOWER: {OTHER}: 1." in said
    assert f"SLOWER: {NAME}" not in said
    assert read_baseline(MACHINE).entries[OTHER] == session(1)


def test_what_a_second_measurement_does_not_confirm_ends_with_0(folder, tmp_path):
    held(tmp_path, {NAME: session(0)}, Pytest({}))
    code, said = held(tmp_path, {NAME: session(1, slower=1.6)}, Pytest({NAME: session(2)}))
    assert code == 0
    assert f"not confirmed: the second time {NAME}" in said


def test_new_and_absent_entries_are_named_and_what_is_known_stays(folder, tmp_path):
    held(tmp_path, {NAME: session(0)}, Pytest({}))
    code, said = held(tmp_path, {OTHER: session(1)}, Pytest({}))
    assert code == 0
    assert f"1 entries are new and were added to the baseline: {OTHER}" in said
    assert f"1 entries of the baseline were not measured: {NAME}" in said
    assert read_baseline(MACHINE).entries == {NAME: session(0), OTHER: session(1)}


def test_accepting_keeps_the_old_file_and_the_entries_that_were_not_measured(folder, tmp_path):
    held(tmp_path, {NAME: session(0), OTHER: session(1)}, Pytest({}))
    old = baseline_file(MACHINE).read_bytes()
    said: list[str] = []
    gate.accept(gate.read_measured(results(tmp_path / "new.json", {NAME: session(5)})), said.append)
    assert read_baseline(MACHINE).entries == {NAME: session(5), OTHER: session(1)}
    (kept,) = folder.glob("*-until-*.json")
    assert kept.read_bytes() == old
    assert str(kept) in said[0]


def test_an_entry_without_figures_is_refused_by_name(tmp_path):
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps({"benchmarks": [{"fullname": NAME, "extra_info": {}}]}))
    with pytest.raises(UserError, match="bench_a noted no figures"):
        gate.read_measured(path)


def test_a_baseline_of_another_machine_under_this_ones_name_is_refused(folder):
    Baseline(MACHINE, "now", None, {NAME: session(0)}).write()
    other = replace(MACHINE, cores=2)
    baseline_file(MACHINE).rename(baseline_file(other))
    with pytest.raises(UserError, match="was measured on"):
        read_baseline(other)
