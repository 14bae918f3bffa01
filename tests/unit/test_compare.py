"""Comparison of runs on disk: what is joined, what is refused, what is said."""

from __future__ import annotations

import shutil

import pytest

from vesselbench.compare import compare, verdict
from vesselbench.comparing.likeness import budget_notes
from vesselbench.errors import UserError
from vesselbench.rundir import RunDir, write_json

IDS = [f"i{n:02d}" for n in range(12)]
GROUPS = {sample: f"p{n // 2}" for n, sample in enumerate(IDS)}
ALONE = {sample: sample for sample in IDS}
NOISE = [0.003, -0.004, 0.001, 0.002, -0.002, 0.004, -0.001, 0.0, 0.002, -0.003, 0.001, -0.002]


def around(mean, spread=1.0):
    return {sample: mean + spread * NOISE[n] for n, sample in enumerate(IDS)}


def flat(mean):
    return dict.fromkeys(IDS, mean)


def only(comparison):
    (pair,) = comparison.pairs
    return pair.metrics[comparison.primary]


def test_differences_are_the_first_run_minus_the_second_joined_by_id(write_run):
    a = write_run("a", {"x": 0.9, "y": 0.5, "z": 0.7})
    b = write_run("b", {"z": 0.6, "y": 0.7, "x": 0.5})
    comparison = compare([a, b])
    paired = only(comparison)
    assert comparison.images == ("x", "y", "z")
    assert comparison.runs[1].values("dice") == [0.5, 0.7, 0.6]
    assert paired.difference == pytest.approx(0.1)
    assert (paired.mean_a, paired.mean_b) == pytest.approx((0.7, 0.6))
    assert (paired.tally.wins, paired.tally.ties, paired.tally.losses) == (2, 0, 1)
    assert paired.hodges_lehmann == pytest.approx(0.1)


def test_exchanging_the_runs_turns_every_number_and_the_verdict_round(write_run):
    a, b = write_run("a", around(0.80), GROUPS), write_run("b", flat(0.75), GROUPS)
    forth, back = compare([a, b]), compare([b, a])
    there, here = only(forth), only(back)
    assert there.difference == pytest.approx(-here.difference)
    assert (there.interval.low, there.interval.high) == pytest.approx((-here.interval.high, -here.interval.low))
    assert (there.tally.wins, there.judgement, here.judgement) == (here.tally.losses, "better", "worse")
    assert there.test.p == here.test.p
    assert verdict(back) == verdict(forth).replace("a is better than b", "b is worse than a")


def test_the_verdict_names_outcome_gap_interval_basis_and_price(write_run):
    a = write_run("sa2va", flat(0.75), GROUPS, train_seconds=400.0, parameters={"total": 1000, "trainable": 10})
    b = write_run("unet", flat(0.80), GROUPS, train_seconds=40.0, parameters={"total": 400, "trainable": 400})
    assert verdict(compare([a, b])) == (
        "sa2va is worse than unet on dice by 0.050 [0.050, 0.050] (12 images of 6 groups, 1 seed each: these two "
        "checkpoints, not the methods), at 10 × the training time and 2.5 × the parameters."
    )


def test_of_a_metric_that_is_better_when_lower_the_smaller_mean_wins(write_run):
    a = write_run("a", flat(12.5), GROUPS, better="lower")
    b = write_run("b", flat(15.0), GROUPS, better="lower")
    comparison = compare([b, a])
    assert only(comparison).judgement == "worse"
    assert only(comparison).tally.losses == 12
    assert [run.label for run in comparison.ranked()] == ["a", "b"]
    assert verdict(comparison).startswith("b is worse than a on dice by 2.500 [2.500, 2.500] (")


def test_a_difference_inside_the_margin_is_equivalence(write_run):
    a, b = write_run("a", flat(0.804), GROUPS), write_run("b", flat(0.8), GROUPS)
    sentence = verdict(compare([a, b]))
    assert sentence.startswith("a is equivalent to b on dice: a minus b is +0.004 [+0.004, +0.004]")
    assert "inside ±0.01" in sentence
    assert only(compare([a, b], margin=0.001)).judgement == "better"


def test_a_wide_interval_around_zero_is_inconclusive(write_run):
    a, b = write_run("a", around(0.8, spread=30), GROUPS), write_run("b", flat(0.8), GROUPS)
    comparison = compare([a, b])
    assert only(comparison).judgement == "inconclusive"
    assert "a cannot be told apart from b on dice: a minus b is " in verdict(comparison)


def test_one_group_gives_a_difference_but_no_interval_and_no_verdict(write_run):
    groups = dict.fromkeys(IDS, "only")
    comparison = compare([write_run("a", flat(0.9), groups), write_run("b", flat(0.5), groups)])
    assert only(comparison).judgement == "inconclusive"
    assert "+0.400; all images belong to one group" in verdict(comparison)


def test_images_without_a_value_are_left_out_in_pairs_and_counted_aloud(write_run):
    a = write_run("a", {**flat(0.9), "i00": None}, GROUPS)
    b = write_run("b", {**flat(0.8), "i00": 0.1, "i03": None}, GROUPS)
    comparison = compare([a, b])
    paired = only(comparison)
    assert (paired.images, paired.left_out, paired.difference) == (10, 2, pytest.approx(0.1))
    assert "10 of 12 images" in verdict(comparison)
    assert "a has no dice for 1 of 12 images" in " ".join(comparison.notes)
    assert "b has no dice for 1 of 12 images" in " ".join(comparison.notes)


def test_runs_without_a_common_value_cannot_be_compared_and_it_is_said(write_run):
    a, b = write_run("a", {"x": None, "y": 0.5}), write_run("b", {"x": 0.5, "y": None})
    sentence = verdict(compare([a, b]))
    assert sentence == "a and b cannot be compared on dice: no image has a value in both runs."


def test_of_three_runs_every_pair_is_compared_and_the_best_against_the_second(write_run):
    runs = [write_run(name, flat(mean), ALONE) for name, mean in (("low", 0.6), ("top", 0.8), ("mid", 0.7))]
    comparison = compare(runs)
    assert [(pair.a, pair.b) for pair in comparison.pairs] == [("low", "top"), ("low", "mid"), ("top", "mid")]
    assert verdict(comparison).startswith(
        "top has the best mean dice of 3 models and is better than the second, mid, by 0.100 [0.100,"
    )
    assert any("3 pairs are compared" in note for note in comparison.notes)


def test_too_few_groups_for_a_test_are_said_and_no_winner_is_named(write_run):
    few = {sample: f"p{n % 4}" for n, sample in enumerate(IDS)}
    two = compare([write_run("a", flat(0.6), few), write_run("b", flat(0.8), few)])
    assert verdict(two).startswith(
        "a is not shown to be better or worse than b on dice: a minus b is -0.200 [-0.200, -0.200]; 4 groups are too "
        "few: the signed-rank test cannot give a p below 0.12 on them ("
    )
    three = compare([write_run(name, flat(mean), GROUPS) for name, mean in (("c", 0.6), ("d", 0.8), ("e", 0.7))])
    assert (
        "6 groups are too few: the signed-rank test cannot give a p below 0.094 on them after correction for 3 pairs"
        in (verdict(three))
    )
    for comparison in (two, three):
        assert sum(note.endswith("so no contender can be called better or worse.") for note in comparison.notes) == 1


def test_of_three_runs_a_tie_at_the_top_is_said(write_run):
    runs = [write_run(name, flat(mean), GROUPS) for name, mean in (("low", 0.6), ("top", 0.802), ("mid", 0.8))]
    assert "top has the best mean dice of 3 models but is equivalent to the second, mid: top minus mid is +0.002" in (
        verdict(compare(runs))
    )


def test_a_single_run_is_described_without_a_pair(write_run):
    comparison = compare([write_run("a", flat(0.8), GROUPS)])
    assert comparison.pairs == ()
    assert "the mean is 0.800 (12 images of 6 groups, 1 seed" in verdict(comparison)


def test_times_on_unlike_devices_are_not_set_against_each_other(write_run):
    a, b = write_run("a", flat(0.9), GROUPS, device="cuda:0"), write_run("b", flat(0.8), GROUPS)
    comparison = compare([a, b])
    assert "training time" not in verdict(comparison)
    assert "Unlike device: a: cuda:0, b: cpu; their times do not compare." in comparison.notes


def test_two_runs_of_one_recipe_are_told_apart_by_their_folders(write_run):
    a, b = write_run("unet", flat(0.9), GROUPS, seed=1), write_run("unet", flat(0.8), GROUPS, seed=2)
    comparison = compare([a, b])
    assert [run.label for run in comparison.runs] == [f"unet {a.path.name}", f"unet {b.path.name}"]
    assert any(note.startswith("Unlike seed: ") for note in comparison.notes)


def test_everything_that_differs_without_forbidding_is_noted(write_run):
    config = {"train": {"augment": {"flip": False}}}
    changes = {"steps": 400, "versions": {"python": "3.11.9", "torch": "2.14.0"}, "base_weights": {"d/base.st": "0"}}
    a = write_run("a", flat(0.9), GROUPS)
    b = write_run("b", flat(0.8), GROUPS, config=config, summary={"threshold_from": "recipe"}, **changes)
    notes = " ".join(compare([a, b]).notes)
    for word in (
        "training budget: a: 800 samples seen, b: 1,600",
        "batch: a: 200 steps of 4",
        "augmentation (flip): a: True, b: False.",
    ):
        assert f"Unlike {word}" in notes
    assert "Unlike start: a: random weights, b: base.st." in notes
    assert "Unlike choice of the threshold: a: validation, b: recipe." in notes
    assert "Unlike versions: torch" in notes


def test_another_zero_stage_is_noted_with_its_consequence(write_run):
    a, b = write_run("a", around(0.9), GROUPS, zero_stage=3), write_run("b", flat(0.8), GROUPS, zero_stage=0)
    assert compare([a, b]).notes == ("Unlike ZeRO stage: a: 3, b: 0; this alone changes their times.",)


def test_like_runs_have_no_notes(write_run):
    assert compare([write_run("a", around(0.9), GROUPS), write_run("b", flat(0.8), GROUPS)]).notes == ()


def test_the_same_weights_scored_twice_are_noted(write_run):
    summary = {"weights_sha256": "ab" * 32}
    a, b = (write_run(name, flat(0.9), GROUPS, summary=summary) for name in "ab")
    assert "a and b scored the same weights." in compare([a, b]).notes


def test_the_second_observer_counts_only_when_every_run_has_it(write_run):
    a = write_run("a", flat(0.9), GROUPS, observer2=flat(0.77))
    b = write_run("b", flat(0.8), GROUPS, observer2=flat(0.77))
    c = write_run("c", flat(0.8), GROUPS)
    assert [row.values["dice"] for row in compare([a, b]).observer2] == [0.77] * 12
    assert compare([a, c]).observer2 is None


UNLIKE = {
    "their data differ": {"fingerprint": "00" * 32},
    "their train sets differ: 1 only in the first (t2)": {"train": ("t1",)},
    "their metrics differ": {"better": "lower"},
    "their metrics differ: dice v1 (higher is better) and dice v2": {"summary": {"metric_versions": {"dice": 2}}},
    "the second observer's scores differ": {"observer2": flat(0.1)},
}


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_refused_by_name_with_the_difference(write_run, what):
    a = write_run("a", flat(0.9), GROUPS, observer2=flat(0.7))
    b = write_run("b", flat(0.8), GROUPS, **{"observer2": flat(0.7), **UNLIKE[what]})
    with pytest.raises(UserError) as caught:
        compare([a, b])
    assert what in caught.value.message
    assert str(a.path) in caught.value.message
    assert str(b.path) in caught.value.message
    assert caught.value.hint


def test_other_images_in_the_set_are_refused(write_run):
    a, b = write_run("a", {"x": 0.9, "y": 0.8}), write_run("b", {"x": 0.9, "z": 0.8})
    with pytest.raises(UserError, match=r"test sets differ: 1 only in the first \(y\); 1 only in the second \(z\)"):
        compare([a, b])


def test_another_patient_for_an_image_is_refused(write_run):
    a, b = write_run("a", flat(0.9), GROUPS), write_run("b", flat(0.9), {**GROUPS, "i04": "p9"})
    with pytest.raises(UserError, match=r"'i04' is \('p2', 'vessel'\) in one and \('p9', 'vessel'\)"):
        compare([a, b])


def test_unlike_primary_metrics_are_refused(write_run):
    values = {sample: {"dice": 0.9, "iou": 0.8} for sample in IDS}
    a, b = write_run("a", values, GROUPS), write_run("b", values, GROUPS, primary="iou")
    with pytest.raises(UserError, match="primary metrics differ: dice and iou"):
        compare([a, b])


def test_a_run_given_twice_is_refused_whatever_its_path_looks_like(write_run):
    a = write_run("a", flat(0.9), GROUPS)
    with pytest.raises(UserError, match="given twice"):
        compare([a, RunDir(a.path / ".." / a.path.name)])


@pytest.mark.parametrize("status", ["running", "failed"])
def test_an_unfinished_run_is_refused(write_run, status):
    a, b = write_run("a", flat(0.9), GROUPS), write_run("b", flat(0.9), GROUPS, status=status)
    with pytest.raises(UserError, match=f"has not finished \\(status: {status}\\)"):
        compare([a, b])


def test_scores_of_part_of_the_set_are_refused(write_run):
    a = write_run("a", flat(0.9), GROUPS, test=(*IDS, "i99"))
    with pytest.raises(UserError, match=r"do not cover its test set: 1 not scored \(i99\)"):
        compare([a])


def test_scores_of_other_data_than_the_training_are_refused(write_run):
    a = write_run("a", flat(0.9), GROUPS, summary={"fingerprint": "00" * 32})
    with pytest.raises(UserError, match="scored on other data"):
        compare([a])


def test_a_set_that_was_not_evaluated_names_the_command(write_run):
    a = write_run("a", flat(0.9), GROUPS)
    with pytest.raises(UserError) as caught:
        compare([a], set_name="val")
    assert caught.value.hint == f"vesselbench evaluate {a.path} --set val"


def test_a_record_without_a_needed_key_names_file_and_key(write_run):
    a = write_run("a", flat(0.9), GROUPS)
    record = a.record()
    del record["train_seconds"]
    write_json(a.record_file, record)
    with pytest.raises(UserError, match=r"run\.json has no 'train_seconds'"):
        compare([a])


def test_a_run_without_scores_files_is_a_user_error(write_run):
    a = write_run("a", flat(0.9), GROUPS)
    shutil.rmtree(a.evaluation("test"))
    with pytest.raises(UserError, match="has no scores of its test set"):
        compare([a])


@pytest.mark.parametrize(
    ("declared", "family"), [("cldice", ("cldice",)), ("cldice_by_width", ("cldice_by_width", "cldice@0-2px"))]
)
def test_values_per_width_are_judged_only_where_the_metric_by_width_was_declared(write_run, declared, family):
    """Each one more raises all p that Holm corrects."""
    names = ("dice", "cldice", "cldice_by_width", "cldice@0-2px")
    plan = {"primary": "dice", "margin": 0.01, "family": [declared], "unit": "group"}
    values = [{sample: dict.fromkeys(names, mean + NOISE[n]) for n, sample in enumerate(IDS)} for mean in (0.8, 0.7)]
    runs = [write_run(name, some, GROUPS, declared=plan) for name, some in zip("ab", values, strict=True)]
    assert compare(runs).family == family


def test_no_runs_and_a_negative_margin_are_refused(write_run):
    with pytest.raises(UserError, match="no runs"):
        compare([])
    with pytest.raises(UserError, match="margin"):
        compare([write_run("a", flat(0.9), GROUPS)], margin=-0.1)


def test_an_unequal_budget_is_told(write_run):
    more = {"validations": 12, "stopped_early": False, "optimizer": "sgd", "saved_weights": "of the step"}
    less = {**more, "validations": 1, "optimizer": "adamw", "saved_weights": "moving average, decay 0.9"}
    a = write_run("a", flat(0.9), GROUPS, **more, train_seconds=600)
    b = write_run("b", flat(0.8), GROUPS, **less, train_seconds=120, config={"train": {"augment": {"blur": 1.0}}})
    listed = compare([a, b]).notes
    assert [note.split(":")[0] for note in budget_notes(listed)] == [  # these stand on the terminal, too
        "Unlike number of validations",
        "Unlike selection",
        "Unlike training time",
        "Unlike augmentation (blur)",
    ]
    notes = "\n".join(listed)
    assert "Unlike number of validations: a: 12, b: 1; this is not an equal budget." in notes
    assert "Unlike selection: a: best of 12 validations; weights: of the step, b: best of 1 validations;" in notes
    assert "Unlike optimizer: a: sgd, b: adamw." in notes
    assert "Unlike training time: a: 10 min 0 s, b: 2 min 0 s;" in notes
    assert "Unlike augmentation (blur): a: 0.0, b: 1.0." in notes


def test_models_that_see_other_images_are_told(write_run):
    seeing = {"name": "unet", "neighbourhood": 49, "views": 8}
    a = write_run("a", flat(0.9), GROUPS, config={"model": seeing})
    b = write_run("b", flat(0.8), GROUPS, config={"model": {"name": "sa2va", "neighbourhood": None, "views": 8}})
    assert budget_notes(compare([a, b]).notes) == ["Unlike local contrast (model.neighbourhood): a: 49, b: none."]
    c = write_run("c", flat(0.8), GROUPS, config={"model": seeing | {"name": "sa2va"}})
    assert not budget_notes(compare([a, c]).notes)
