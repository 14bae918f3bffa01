"""What a comparison notes of its pairs."""

from __future__ import annotations

from vesselbench.compare import compare
from vesselbench.comparing.verdict import verdict

IDS = [f"i{n:02d}" for n in range(12)]
GROUPS = {sample: f"p{n // 2}" for n, sample in enumerate(IDS)}


def flat(mean):
    return dict.fromkeys(IDS, mean)


def test_an_interval_without_width_is_told_by_what_it_comes_from(write_run):
    alike = {sample: 0.7 + (0.1 if n % 2 else 0.0) for n, sample in enumerate(IDS)}
    runs = [write_run("a", alike, GROUPS), write_run("b", flat(0.7), GROUPS), write_run("c", flat(0.6), GROUPS)]
    notes = compare([*runs, write_run("d", flat(0.7), GROUPS)]).notes
    assert "a and b differ by the same mean dice in every group." in notes
    assert "b and c differ by the same dice on every image." in notes
    assert "b and d have the same dice on every image." in notes
    assert "b minus d is 0.000 [0.000, 0.000], inside" in verdict(compare([runs[1], write_run("d", flat(0.7), GROUPS)]))


def test_too_few_units_are_named_by_their_own_name(write_run):
    plan = {"primary": "dice", "margin": 0.01, "family": [], "unit": "child/children"}
    groups = {sample: f"c{n % 2}" for n, sample in enumerate(IDS)}
    comparison = compare(
        [write_run(name, flat(mean), groups, declared=plan) for name, mean in (("a", 0.8), ("b", 0.6))]
    )
    assert any("Signed-rank test: 2 children cannot give a p below 0.5" in note for note in comparison.notes)
