"""Several seeds of one model, several models, and the plan that was fixed before."""

from __future__ import annotations

import pytest

from vesselbench.compare import compare
from vesselbench.comparing.verdict import verdict
from vesselbench.errors import UserError
from vesselbench.report import comparison_record
from vesselbench.report.tables import case_table, origin_table

IDS = [f"i{n:02d}" for n in range(12)]
GROUPS = {sample: f"p{n // 2}" for n, sample in enumerate(IDS)}
NOISE = [0.003, -0.004, 0.001, 0.002, -0.002, 0.004, -0.001, 0.0, 0.002, -0.003, 0.001, -0.002]


def around(mean, spread=1.0):
    return {sample: mean + spread * NOISE[n] for n, sample in enumerate(IDS)}


def flat(mean):
    return dict.fromkeys(IDS, mean)


def only(comparison):
    (pair,) = comparison.pairs
    return pair.metrics[comparison.primary]


def test_one_seed_beside_several_is_called_a_checkpoint(write_run):
    runs = [write_run("a", flat(mean), GROUPS, seed=seed) for seed, mean in enumerate((0.7, 0.9))]
    runs.append(write_run("b", flat(0.75), GROUPS))
    assert (
        "(12 images of 6 groups, 2 seeds of a with SD 0.141 between them; 1 seed of b: this checkpoint, not the method)"
        in verdict(compare(runs))
    )


def test_empty_masks_of_every_seed_are_counted_and_figures_beside_the_mean_are_averaged(write_run):
    empty = {IDS[0]: "empty_prediction"}
    entries = [{"metrics": {"dice": {"better": "higher", "pooled": pooled}}} for pooled in (0.5, 0.7)]
    runs = [
        write_run("a", flat(0.7), GROUPS, seed=0, summary=entries[0]),
        write_run("a", flat(0.9), GROUPS, seed=1, summary=entries[1], cases=empty),
        write_run("b", flat(0.75), GROUPS, summary=entries[0]),
    ]
    record = comparison_record(comparison := compare(runs))
    assert record["runs"][0]["cases"] == {"empty_prediction": 1, "ok": 23}
    assert record["runs"][0]["metrics"]["dice"]["pooled"] == pytest.approx(0.6)
    assert record["images"][0]["cases"] == {"a": ["ok", "empty_prediction"], "b": ["ok"]}
    assert [cell.text for cell in case_table(comparison).rows[0]] == ["a", "23", "0", "1", "0"]
    assert origin_table(comparison).columns == ("", "a, seed 0", "a, seed 1", "b")


def test_runs_that_differ_in_their_seed_only_are_averaged_first(write_run):
    a = [
        write_run("a", flat(mean), GROUPS, seed=seed, train_seconds=100.0 + seed)
        for seed, mean in enumerate((0.7, 0.9))
    ]
    b = [write_run("b", flat(0.75), GROUPS, seed=seed) for seed in (0, 1)]
    comparison = compare([a[0], b[0], a[1], b[1]])
    assert [(run.label, [seed.seed for seed in run.seeds]) for run in comparison.runs] == [("a", [0, 1]), ("b", [0, 1])]
    assert comparison.runs[0].values("dice") == pytest.approx([0.8] * 12)
    assert comparison.runs[0].spread("dice").sd == pytest.approx(0.2 / 2**0.5)
    assert comparison.runs[0].costs.train_seconds == 100.5
    assert only(comparison).difference == pytest.approx(0.05)
    assert not any("seed" in note for note in comparison.notes)
    assert verdict(comparison).startswith(
        "a is better than b on dice by 0.050 [0.050, 0.050] (12 images of 6 groups, 2 seeds each with SD 0.141 and "
        "0.000 between them), at "
    )


def test_unequal_seeds_are_noted_and_an_image_counts_only_when_every_seed_has_it(write_run):
    a = [write_run("a", {**flat(0.9), "i00": value}, GROUPS, seed=seed) for seed, value in ((0, 0.9), (1, None))]
    comparison = compare([*a, write_run("b", flat(0.8), GROUPS, seed=0)])
    assert "Unlike seed: a: 0, 1, b: 0." in comparison.notes
    assert only(comparison).left_out == 1
    assert "(11 of 12 images of 6 groups, 2 seeds of a with SD 0.000 between them; 1 seed of b: " in verdict(comparison)


def test_runs_of_one_recipe_with_another_setting_or_the_same_seed_stand_for_themselves(write_run):
    other = {"train": {"lr": 0.5}}
    runs = [write_run("a", flat(0.9), GROUPS, seed=seed) for seed in (0, 0)]
    runs += [write_run("a", flat(0.9), GROUPS, seed=2, config=other), write_run("b", flat(0.9), GROUPS)]
    assert [len(run.seeds) for run in compare(runs).runs] == [1, 1, 1, 1]


def test_of_three_contenders_friedman_and_ranks_are_told(write_run):
    runs = [write_run(name, around(mean), GROUPS) for name, mean in (("low", 0.6), ("top", 0.8), ("mid", 0.7))]
    several = compare(runs).several
    assert several.ranks.intervals == ((3, 3), (1, 1), (2, 2))
    assert several.friedman.p == pytest.approx((1 / 6) ** 5)
    assert compare(runs[:2]).several is None


def test_pairs_of_several_contenders_are_judged_after_holms_correction(write_run):
    spread = [0.05, -0.01, 0.03, 0.035, 0.007, 0.06, -0.015, 0.04, 0.02, 0.008, 0.03, 0.001]
    noisy = {sample: 0.695 + spread[n] for n, sample in enumerate(IDS)}
    alone = {sample: f"c{n}" for n, sample in enumerate(IDS)}
    many = [write_run("a", noisy, alone)] + [write_run(f"b{n}", flat(0.7), alone) for n in range(3)]
    two, four = only(compare(many[:2])), compare(many)
    paired = four.pairs[0].metrics["dice"]
    assert (two.judgement, two.p_adjusted, two.questions) == ("better", two.test.p, 1)
    assert 0.05 / 6 < two.test.p < 0.05
    assert paired.interval == two.interval
    assert paired.p_adjusted == pytest.approx(6 * two.test.p)
    assert paired.judgement == "inconclusive"
    assert f"; signed-rank p {paired.p_adjusted:.2g} after correction for 6 pairs (" in verdict(four)
    assert verdict(four).startswith(
        "a has the best mean dice of 4 models but is not shown to be better or worse than the"
    )


def two_metrics(dice, iou):
    return {sample: {"dice": dice, "iou": iou + NOISE[n]} for n, sample in enumerate(IDS)}


def test_secondary_metrics_are_judged_together_and_exploratory_ones_not_at_all(write_run):
    runs = [write_run(name, two_metrics(0.8, iou), GROUPS) for name, iou in (("a", 0.7), ("b", 0.6))]
    comparison = compare(runs)
    assert comparison.family == ("iou",)
    plan = {"primary": "dice", "margin": 0.01, "unit": "child/children"}
    assert (comparison.pairs[0].metrics["iou"].role, comparison.pairs[0].metrics["dice"].role) == (
        "secondary",
        "primary",
    )
    for run in runs:
        run.update(declared={**plan, "family": []})
    bare = compare(runs)
    paired = bare.pairs[0].metrics["iou"]
    assert (bare.family, bare.unit) == ((), "child/children")
    assert (paired.role, paired.judgement, paired.p_adjusted) == ("exploratory", None, None)
    assert paired.interval == comparison.pairs[0].metrics["iou"].interval


def test_a_margin_given_afterwards_is_used_and_said(write_run):
    runs = [write_run(name, around(0.9), GROUPS) for name in "ab"]
    comparison = compare(runs, margin=0.2)
    assert (comparison.margin, comparison.declared_margin) == (0.2, 0.01)
    assert "inside ±0.2, a margin given after the fact (" in verdict(comparison)
    assert any(note.startswith("After the fact: the margin of equivalence 0.2 was given") for note in comparison.notes)
    assert not any("After the fact" in note for note in compare(runs, margin=0.01).notes)


def test_a_run_that_declared_nothing_is_compared_with_a_note(write_run):
    a, b = write_run("a", around(0.9), GROUPS, declared=None), write_run("b", flat(0.8), GROUPS, declared=None)
    comparison = compare([a, b])
    assert (comparison.margin, comparison.declared_margin, comparison.unit) == (0.01, None, "group")
    assert any("recorded no primary metric and no margin" in note for note in comparison.notes)


def test_another_primary_metric_than_the_declared_one_is_said(write_run):
    values = two_metrics(0.8, 0.7)
    runs = [write_run(name, values, GROUPS, primary="iou") for name in "ab"]
    assert any("dice was declared as the primary metric, iou is compared" in note for note in compare(runs).notes)


def test_a_unit_is_counted_in_the_verdict_by_its_own_word(write_run):
    plan = {"primary": "dice", "margin": 0.01, "family": [], "unit": "child/children"}
    alone = {sample: f"c{n}" for n, sample in enumerate(IDS)}
    runs = [write_run(name, around(mean), alone, declared=plan) for name, mean in (("a", 0.9), ("b", 0.8))]
    assert "by 0.100 [0.100, 0.100] (12 children, 1 seed each:" in verdict(compare(runs))


def test_an_undecided_comparison_says_what_it_could_have_found(write_run):
    runs = [write_run("a", around(0.8, spread=30), GROUPS), write_run("b", flat(0.8), GROUPS)]
    found = only(compare(runs)).detectable.difference
    assert f"; a true difference of {found:.3f} would show in 80% of such test sets (" in verdict(compare(runs))


@pytest.mark.parametrize("change", [{"margin": 0.02}, {"family": ["dice"]}, {"unit": "patient"}])
def test_runs_that_declared_different_plans_are_refused(write_run, change):
    plan = {"primary": "dice", "margin": 0.01, "family": [], "unit": "group"}
    a, b = write_run("a", flat(0.9), GROUPS), write_run("b", flat(0.8), GROUPS, declared={**plan, **change})
    with pytest.raises(UserError, match=r"their declared .* differ: ") as caught:
        compare([a, b])
    assert next(iter(change)) in caught.value.hint
