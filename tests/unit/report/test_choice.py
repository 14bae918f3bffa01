"""Which images are shown."""

from __future__ import annotations

from vesselbench.compare import compare
from vesselbench.report.choice import choose_images

FIVE = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.1, "e": 0.6}


def shown_of(comparison, most):
    return [(choice.title, comparison.images[choice.index]) for choice in choose_images(comparison, most).chosen]


def shown(comparison):
    return shown_of(comparison, 12)


def test_the_largest_disagreement_comes_first_and_best_median_and_worst_are_among_them(write_run):
    other = {**FIVE, "c": 0.3, "e": 0.5}
    comparison = compare([write_run("x", FIVE), write_run("y", other)])
    assert shown(comparison) == [("", "c"), ("", "e"), ("worst", "d"), ("median", "b"), ("best", "a")]
    choices = choose_images(comparison).chosen
    assert [round(choice.apart, 6) for choice in choices] == [0.4, 0.1, 0, 0, 0]
    assert choices[-1].mean == 0.9


def test_fewer_images_are_shown_than_there_are_but_never_without_the_three(write_run):
    comparison = compare([write_run("x", FIVE), write_run("y", {**FIVE, "c": 0.3, "e": 0.5})])
    names = [[image for _, image in shown_of(comparison, most)] for most in (1, 3, 4)]
    assert names == [["d", "b", "a"], ["d", "b", "a"], ["c", "d", "b", "a"]]


def test_of_one_run_the_worst_come_first_whichever_way_is_better(write_run):
    assert shown(compare([write_run("x", FIVE)])) == [
        ("worst", "d"), ("", "b"), ("median", "e"), ("", "c"), ("best", "a")
    ]  # fmt: skip
    lower = compare([write_run("x", FIVE, better="lower")])
    assert [image for _, image in shown(lower)] == ["a", "c", "e", "b", "d"]


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
