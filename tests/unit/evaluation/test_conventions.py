"""A convention changes one choice, and says by how much; the headline stays what it is."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from vesselbench.config import CONVENTIONS, EvalConfig
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.runs import with_conventions
from vesselbench.terminal.results import convention_tables, summary_table
from vesselbench.types import Prediction

KNOWN = {"set_name": "test", "fingerprint": "f" * 64}
HEADLINE = EvalConfig(threshold=0.4, metrics=["dice", "pixel_accuracy"])
ALL = HEADLINE.model_copy(update={"conventions": list(CONVENTIONS)})


def grey(examples):
    return [Prediction(e.sample.id, e.image[..., 0].astype(np.float32) / 255) for e in examples]


@pytest.fixture
def scored(catalogue, write_samples):
    samples = write_samples(4, fov=True)
    plain = evaluate(grey, samples, HEADLINE, catalogue, **KNOWN)
    named = evaluate(grey, samples, ALL, catalogue, **KNOWN)
    return [load_example(sample) for sample in samples], plain, named


def dice(pairs):
    return np.mean([2 * (p & r).sum() / (p.sum() + r.sum()) for p, r in pairs])


def test_the_headline_is_not_touched_and_nothing_is_stored_unasked(scored):
    _, plain, named = scored
    assert named.scores == plain.scores
    assert named.summary["metrics"] == plain.summary["metrics"]
    assert "conventions" not in plain.summary
    assert list(named.summary["conventions"]) == list(CONVENTIONS)


def test_each_convention_is_what_it_says(scored):
    examples, plain, named = scored
    maps = [prediction.probability for prediction in grey(examples)]
    inside = [(p[e.fov], e.mask[e.fov]) for p, e in zip(maps, examples, strict=True)]
    cut = [(p >= np.float32(0.4), r) for p, r in inside]
    found = {name: entry["metrics"]["dice"] for name, entry in named.summary["conventions"].items()}
    assert found["pooled"] == pytest.approx(dice([tuple(np.concatenate(side) for side in zip(*cut, strict=True))]))
    assert found["pooled"] == pytest.approx(plain.summary["metrics"]["dice"]["pooled"])
    assert found["whole_image"] == pytest.approx(
        dice([(p >= np.float32(0.4), e.mask) for p, e in zip(maps, examples, strict=True)])
    )
    assert found["two_class"] == pytest.approx((dice(cut) + dice([(~p, ~r) for p, r in cut])) / 2)
    at = [dice([(p >= np.float32(t / 100), r) for p, r in inside]) for t in range(5, 100, 5)]
    assert found["threshold_on_test"] == pytest.approx(max(at))
    assert found["threshold_half"] == pytest.approx(at[9])
    assert found["nonempty_reference"] == pytest.approx(dice(cut))


def test_the_effect_is_the_difference_from_the_headline_and_two_classes_flatter(scored):
    _, plain, named = scored
    headline = plain.summary["metrics"]["dice"]["mean"]
    for entry in named.summary["conventions"].values():
        assert entry["effect"]["dice"] == pytest.approx(entry["metrics"]["dice"] - headline)
        assert entry["definition"].endswith((".", "optimistic."))
    assert named.summary["conventions"]["two_class"]["effect"]["dice"] > 0.03
    assert named.summary["conventions"]["threshold_on_test"]["effect"]["dice"] >= 0


def test_an_empty_reference_is_left_out_by_that_convention_alone(catalogue, write_samples):
    samples = write_samples(3)
    samples[0] = replace(samples[0], mask=())
    result = evaluate(grey, samples, ALL, catalogue, **KNOWN)
    values = [row.values["dice"] for row in result.scores.rows]
    assert values[0] == 0
    assert result.summary["conventions"]["nonempty_reference"]["metrics"]["dice"] == pytest.approx(np.mean(values[1:]))
    assert result.summary["metrics"]["dice"]["mean"] == pytest.approx(np.mean(values))


def test_conventions_of_the_command_line_join_the_recipes_and_unknown_ones_are_named():
    config = EvalConfig(conventions=["pooled"])
    assert with_conventions(config, ["two_class", "pooled"]).conventions == ["pooled", "two_class"]
    with pytest.raises(UserError, match="no convention named 'two_clas'") as caught:
        with_conventions(config, ["two_clas"])
    assert "two_class" in caught.value.hint


def test_the_terminal_prints_every_convention_with_its_effect(scored):
    shown = Console(width=100, file=io.StringIO())
    for table in [summary_table(scored[2].summary), *convention_tables(scored[2].summary)]:
        shown.print(table)
    text = shown.file.getvalue()
    assert all(f"convention {name}" in text for name in CONVENTIONS)
    effect = scored[2].summary["conventions"]["two_class"]["effect"]["dice"]
    assert f"{effect:+.4f}" in text
    assert "pixel accuracy of predicting nothing" in text
    assert convention_tables(scored[1].summary) == []
