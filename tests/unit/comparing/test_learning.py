"""The learning curve: what it concludes from scores at several sizes, and the page it makes."""

from __future__ import annotations

import json

import pytest

from tests.unit.report.sections import Sections
from vesselbench.commands.curve import sorted_words
from vesselbench.compare import compare
from vesselbench.comparing.learning import Curve, Size, answer, budget_lines, crossings
from vesselbench.contest import Settings
from vesselbench.curve import draw_curve, parse_fractions
from vesselbench.errors import UserError
from vesselbench.report.learning import notes_of_sizes, render_curve
from vesselbench.runs import Wanted
from vesselbench.watch import Silent

IMAGES = [f"t{number}" for number in range(8)]
WIGGLE = [0.004, -0.003, 0.002, 0.0, -0.004, 0.003, -0.002, 0.001]


def scores(mean: float, sign: int = 1) -> dict[str, float]:
    return {name: mean + sign * off for name, off in zip(IMAGES, WIGGLE, strict=True)}


@pytest.fixture
def curve_of(write_run):
    """A curve of `big` and `small` from their means at 2, 4, 8, ... groups."""

    def make(big: list[float], small: list[float], **of_big) -> Curve:
        sizes = []
        for number, (ours, theirs) in enumerate(zip(big, small, strict=True)):
            groups = 2 ** (number + 1)
            train = tuple(f"p{one}" for one in range(groups))
            runs = [write_run("big", scores(ours), train=train, **of_big)]
            runs.append(write_run("small", scores(theirs, -1), train=train))
            sizes.append(Size(groups / 8, groups, groups, compare(runs)))
        return Curve(tuple(sizes), ("big", "small"))

    return make


def test_the_first_size_of_a_lasting_lead_is_named(curve_of):
    curve = curve_of([0.60, 0.72, 0.84], [0.70, 0.75, 0.78])
    assert answer(curve, "big", "small").startswith("From 8 groups of training on, big is better than small in dice.")


def test_a_crossing_lies_where_straight_lines_on_a_logarithmic_scale_meet(curve_of):
    """-0.06 at 2 groups, +0.02 at 4: three quarters of the way, 2 * 2 ** 0.75."""
    found = crossings(curve_of([0.64, 0.72], [0.70, 0.70]), "big", "small")
    assert found == pytest.approx([2 * 2**0.75], rel=0.01)


def test_a_lead_that_is_lost_again_is_none(curve_of):
    text = answer(curve_of([0.8, 0.8, 0.7], [0.7, 0.7, 0.8]), "big", "small")
    assert "no lasting lead" in text
    assert "there, small is better" in text
    assert "cross at about" in text


@pytest.mark.parametrize(("ours", "word"), [(0.8, "better"), (0.6, "worse")])
def test_one_that_is_ahead_everywhere_is_said_to_be_and_nothing_crosses(ours, word, curve_of):
    text = answer(curve_of([ours] * 3, [0.7] * 3), "big", "small")
    assert text.startswith(f"big is {word} than small in dice at every size, from 2 groups to 8 groups.")
    assert text.endswith("no crossing within the data.")


def test_without_a_difference_none_is_claimed(curve_of):
    text = answer(curve_of([0.7, 0.7], [0.7, 0.7]), "big", "small")
    assert "no lasting lead" in text
    assert "they are equivalent" in text


def test_an_unequal_budget_is_called_one(curve_of):
    equal = budget_lines(curve_of([0.7, 0.7], [0.7, 0.7]))
    assert equal[0] == "2 groups (2 samples): equal budget: big 200 steps of 4, small 200 steps of 4."
    assert all("unequal budget" in line for line in budget_lines(curve_of([0.7, 0.7], [0.7, 0.7], steps=300)))


def test_page_markdown_and_json_say_the_same(curve_of, tmp_path):
    curve = curve_of([0.60, 0.84], [0.70, 0.78], steps=300)
    page = render_curve(curve, tmp_path / "curve")
    sentence = answer(curve, "big", "small")
    record = json.loads((page.parent / "curve.json").read_text())
    assert record["answers"] == [sentence]
    assert [size["groups"] for size in record["sizes"]] == [2, 4]
    assert record["crossings"]["small"] == crossings(curve, "big", "small")
    for text in (page.read_text(), (page.parent / "curve.md").read_text()):
        assert sentence in text
        assert "equal budget" in text
    shown = Sections(page.read_text())
    assert shown.headings == ["From how many on", "Budget"]
    assert shown.not_in((page.parent / "curve.md").read_text()) == []
    assert record["notes"] == notes_of_sizes(curve) != []
    assert 'class="rule dashed"' in page.read_text()
    assert not any(name in page.read_text() for name in IMAGES)


def test_shares_stand_behind_the_option_as_in_its_help():
    assert sorted_words(["sa2va", "unet", "train.steps=5", "0.25", "0.5", "1.0"]) == (
        ["train.steps=5"],
        ["sa2va", "unet"],
        ["0.25", "0.5", "1.0"],
    )
    assert parse_fractions(["1.0", "0.25"]) == (0.25, 1.0)


@pytest.mark.parametrize("words", [["0", "1"], ["0.5"], ["0.5", "0.5"], ["half", "1"], ["0.5", "1.5"], ["nan", "1"]])
def test_shares_that_are_none_are_refused(words):
    with pytest.raises(UserError):
        parse_fractions(words)


TINY = "data.options={images: 12, size: 64, per_group: 2}"
FEW = "data.options={images: 18, size: 64, per_group: 6}"


@pytest.mark.parametrize(
    ("names", "overrides", "text"),
    [
        (["unet"], [TINY], "two different recipes"),
        (["unet", "unet"], [TINY], "two different recipes"),
        (["unet", "sa2va"], [TINY, "data.split.subset=0.5"], "sets that itself"),
        (["unet", "sa2va"], [FEW], "keep the same 1 training groups"),
    ],
)
def test_a_curve_that_cannot_be_is_refused_before_anything_is_trained(names, overrides, text, catalogue, tmp_path):
    with pytest.raises(UserError, match=text):
        draw_curve(names, (0.5, 1.0), Wanted([], overrides), Settings(tmp_path), catalogue, Silent())
    assert not list(tmp_path.iterdir())


def test_a_length_that_the_rules_choose_is_said_before_anything_is_trained(catalogue, tmp_path):
    said = []

    class Listening(Silent):
        def line(self, text):
            said.append(text)

    def told(*overrides):
        said.clear()
        with pytest.raises(UserError, match="keep the same 1"):
            draw_curve(
                ["unet", "sa2va"], (0.5, 1.0), Wanted([], [FEW, *overrides]), Settings(tmp_path), catalogue, Listening()
            )
        return [text for text in said if "train.steps" in text]

    (line,) = told()
    assert line.startswith("unet: train.steps is left to the rules")
    assert told("train.steps=5") == []


def test_seeds_are_trained_at_every_size_and_averaged(catalogue, tmp_path, write_run, monkeypatch):
    asked = []

    def obtain(name, wanted, *_):
        subset, seed = (
            next(text for text in wanted.overrides if text.startswith(key)) for key in ("data.split", "train.seed")
        )
        asked.append((name, subset, seed))
        mean = {"sa2va": 0.8, "unet": 0.7}[name] + 0.1 * int(seed[-1])
        return write_run(name, scores(mean), train=("p0", "p1")[: 1 + subset.endswith("=1")], seed=int(seed[-1]))

    monkeypatch.setattr("vesselbench.curve.obtain_run", obtain)
    monkeypatch.setattr("vesselbench.curve.score_run", lambda *_: None)
    monkeypatch.setattr("vesselbench.curve.refuse_unlike_seeds", lambda *_: None)
    many = "data.options={images: 24, size: 64, per_group: 2}"
    settings = Settings(tmp_path, seeds=(0, 1))
    curve, page = draw_curve(["sa2va", "unet"], (0.5, 1.0), Wanted([], [many]), settings, catalogue, Silent())
    assert len(asked) == len(set(asked)) == 8
    assert [round(point.mean, 3) for point in curve.points("sa2va")] == pytest.approx([0.85, 0.85], abs=0.01)
    record = json.loads((page.parent / "curve.json").read_text())
    assert [len(size["runs"]["unet"]) for size in record["sizes"]] == [2, 2]


def test_a_seed_given_twice_is_refused(catalogue, tmp_path):
    wanted = Wanted([], [TINY, "train.seed=3"])
    with pytest.raises(UserError, match="both set the seed"):
        draw_curve(["unet", "sa2va"], (0.5, 1.0), wanted, Settings(tmp_path, seeds=(0, 1)), catalogue, Silent())
