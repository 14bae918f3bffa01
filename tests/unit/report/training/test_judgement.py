"""The rules, each on both sides of its threshold."""

from __future__ import annotations

import pytest

from vesselbench.report.training.history import History, Row, Validation, Work
from vesselbench.report.training.judgement import judge


def training(scores: list[float | None], losses: list[float], better: str = "higher") -> History:
    """Validations and losses at equal distances over 100 steps."""
    rows = tuple(
        Row(100 * (i + 1) / len(losses), round(100 * (i + 1) / len(losses)), {"loss": loss})
        for i, loss in enumerate(losses)
    )
    validations = tuple(
        Validation(round(100 * (i + 1) / len(scores)), score, {"dice": score}) for i, score in enumerate(scores)
    )
    work = Work(100, 400, 100, 1, 4, 1)
    return History("run", "run", "optimizer step", rows, validations, (), work, 10.0, "dice", better)


def verdict(history: History, title: str) -> tuple[str, str]:
    return next((finding.kind, finding.text) for finding in judge(history) if finding.title == title)


FALLING = [1.0 * 0.97**i for i in range(60)]
LEVEL = [1.0] * 60


@pytest.mark.parametrize(
    ("scores", "kind", "words"),
    [
        ([0.5, 0.7, 0.8, 0.801, 0.802, 0.804], "good", "Levelled off"),
        ([0.5, 0.7, 0.8, 0.80, 0.805, 0.806], "bad", "Still improving"),
        ([0.5, 0.7, 0.8], "open", "3 validations"),
        ([0.5, None, None, None, None], "open", "1 validation with a score"),
        ([], "open", "no validation"),
    ],
)
def test_convergence_is_read_off_the_last_third_of_the_validations(scores, kind, words):
    found = verdict(training(scores, FALLING), "Convergence")
    assert found[0] == kind
    assert words in found[1]


@pytest.mark.parametrize(
    ("scores", "losses", "kind", "words"),
    [
        ([0.6, 0.8, 0.79, 0.78], FALLING, "bad", "Likely"),
        ([0.6, 0.8, 0.79, 0.791], FALLING, "good", "None seen"),
        ([0.6, 0.7, 0.8, 0.78], FALLING, "bad", "Unstable"),  # one validation after the best is not enough
        ([0.6, 0.8, 0.79, 0.78], LEVEL, "bad", "Unstable"),
        ([0.6, 0.7, 0.8], FALLING, "open", "Cannot"),
    ],
)
def test_over_fitting_is_a_worse_score_with_a_falling_loss(scores, losses, kind, words):
    found = verdict(training(scores, losses), "Over-fitting")
    assert found[0] == kind
    assert words in found[1]


def test_where_lower_is_better_the_rules_are_turned_round():
    history = training([9.0, 5.0, 5.5, 6.0], FALLING, better="lower")
    assert verdict(history, "Over-fitting")[1].startswith("Likely")
    assert verdict(history, "Convergence")[0] == "good"


@pytest.mark.parametrize(("losses", "word"), [(FALLING, "still falling"), (LEVEL, "level"), (FALLING[::-1], "rising")])
def test_the_trend_of_the_training_loss_is_said(losses, word):
    assert word in verdict(training([], losses), "Training loss")[1]
