"""Which images are shown."""

from __future__ import annotations

from vesselbench.compare import compare
from vesselbench.report.choice import choose_images

FIVE = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.1, "e": 0.6}


def shown(comparison):
    return [(choice.title, comparison.images[choice.index]) for choice in choose_images(comparison).chosen]


def test_best_median_and_worst_by_the_mean_over_the_runs(write_run):
    other = {**FIVE, "c": 0.3}
    comparison = compare([write_run("x", FIVE), write_run("y", other)])
    assert shown(comparison) == [
        ("best", "a"),
        ("median", "b"),
        ("worst", "d"),
        ("largest difference between the runs", "c"),
    ]
    assert choose_images(comparison).chosen[0].mean == 0.9


def test_where_lower_is_better_the_smallest_is_the_best(write_run):
    comparison = compare([write_run("x", FIVE, better="lower")])
    assert shown(comparison) == [("best", "d"), ("median", "e"), ("worst", "a")]


def test_an_image_is_shown_once(write_run):
    assert shown(compare([write_run("x", {"a": 0.5}), write_run("y", {"a": 0.6})])) == [("best", "a")]


def test_images_without_a_value_are_not_ranked_but_counted(write_run):
    comparison = compare([write_run("x", {**FIVE, "a": None}), write_run("y", {**FIVE, "d": None})])
    choices = choose_images(comparison)
    assert choices.unranked == 2
    assert {"a", "d"}.isdisjoint(image for _, image in shown(comparison))


def test_nothing_is_chosen_where_nothing_can_be_ranked(write_run):
    comparison = compare([write_run("x", {"a": None, "b": 0.5}), write_run("y", {"a": 0.5, "b": None})])
    assert choose_images(comparison).chosen == ()
    assert choose_images(comparison).unranked == 2


def test_the_choice_does_not_depend_on_the_order_of_the_rows(write_run):
    even = dict.fromkeys("edcba", 0.5)
    turned = dict(reversed(even.items()))
    assert shown(compare([write_run("x", even)])) == shown(compare([write_run("y", turned)]))
