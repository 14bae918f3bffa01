"""Strict and collecting reading through the same code."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from vesselbench.data.codes import CODES
from vesselbench.data.findings import (
    Fault,
    Finding,
    Place,
    as_finding,
    collecting,
    each,
    found,
    refuse_each,
    tallying,
    warn,
)
from vesselbench.errors import UserError

TOP = Place("a.json")


def read_numbers(values: list[object]) -> Iterator[object]:
    """A format in small: strings are faults, 0 is odd, None is a refusal by something that knows no findings."""
    for index, value in enumerate(values):
        place = TOP.key("values").item(index)
        with each(place, f"s{index}"):
            if isinstance(value, str):
                raise Fault("wrong-kind", place, f"{value!r} is no number", "mend it")
            if value is None:
                raise UserError("nothing there", "fill it")
        if value == 0:
            warn("empty-mask", place, "it is 0", "fine if meant")
        if isinstance(value, int):
            yield value


def test_strictly_the_first_fault_goes_up() -> None:
    with pytest.raises(UserError, match=r"^a\.json values\[1\]: 'x' is no number\n  try: mend it$"):
        list(read_numbers([1, "x", "y"]))


def test_while_collecting_each_fault_is_a_finding_and_the_rest_is_read() -> None:
    with collecting() as findings:
        assert list(read_numbers([1, "x", 0, None, 5])) == [1, 0, 5]
    assert findings == [
        Finding("wrong-kind", "error", "a.json", "values[1]", "'x' is no number", "mend it", "s1"),
        Finding("empty-mask", "warning", "a.json", "values[2]", "it is 0", "fine if meant"),
        Finding("refused", "error", "a.json", "values[3]", "nothing there", "fill it", "s3"),
    ]


def test_a_user_error_that_leaves_the_block_is_the_last_finding() -> None:
    def foreign() -> Iterator[int]:
        yield 1
        raise UserError("I refuse", "ask me")

    seen = []
    with collecting() as findings:
        for value in foreign():
            seen.append(value)
    assert seen == [1]
    assert [(finding.code, finding.reason, finding.cure) for finding in findings] == [("refused", "I refuse", "ask me")]


def test_a_defect_is_never_collected() -> None:
    with pytest.raises(ZeroDivisionError), collecting(), each(TOP):
        _ = 1 / 0


def test_after_the_block_reading_is_strict_again() -> None:
    with collecting():
        pass
    with pytest.raises(Fault):
        list(read_numbers(["x"]))


def test_strict_warnings_are_counted_and_logged_once_per_code(caplog: pytest.LogCaptureFixture) -> None:
    with tallying():
        assert len(list(read_numbers([0, 1, 0, 0]))) == 4
        assert not caplog.records
    assert [record.getMessage() for record in caplog.records] == [
        "a.json values[0]: it is 0 (and 2 more of this kind) [empty-mask]"
    ]


def test_what_is_meant_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    with tallying(unmentioned={"empty-mask"}):
        list(read_numbers([0]))
    assert not caplog.records


def test_a_tally_within_a_collection_adds_to_the_collection(caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as findings, tallying():
        list(read_numbers([0, "x"]))
    assert [finding.code for finding in findings] == ["empty-mask", "wrong-kind"]
    assert not caplog.records


def test_a_warning_outside_of_any_block_is_logged_by_its_severity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        warn("point-ignored", TOP, "a point", "outline it")
        warn("empty-mask", TOP, "empty", "fine")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_a_fault_of_several_files_is_one_error_or_a_finding_each() -> None:
    places = [Place("a.png"), Place("b.png")]
    arguments = ("image-without-annotation", places, "no JSON", "add it", "2 of 9 images have no JSON: a, b")
    with pytest.raises(Fault, match=r"^2 of 9 images have no JSON: a, b"):
        refuse_each(*arguments)
    with collecting() as findings:
        refuse_each(*arguments)
    assert [(finding.file, finding.reason) for finding in findings] == [("a.png", "no JSON"), ("b.png", "no JSON")]


def test_a_fault_survives_the_way_from_a_worker() -> None:
    fault = Fault("not-finite", TOP.item(3), "NaN", "redraw")
    copy = pickle.loads(pickle.dumps(fault))
    assert (str(copy), copy.code, copy.file, copy.index) == (str(fault), "not-finite", "a.json", "[3]")


@pytest.mark.parametrize(
    ("text", "file", "index"),
    [
        ("sub dir/a.json annotations[0, 1] shape[1]", "sub dir/a.json", "annotations[0, 1] shape[1]"),
        ("a.json [0]", "a.json", "[0]"),
        ("a b [1].png", "a b [1].png", ""),
        ("", "", ""),
    ],
)
def test_an_origin_is_taken_apart_into_file_and_index(text: str, file: str, index: str) -> None:
    assert Place.of(text) == Place(file, index)
    assert str(Place.of(text)) == text


def test_places_are_written_as_one_looks_them_up() -> None:
    place = TOP.key("annotations").item(12).key("segmentation").item(0)
    assert (place.file, place.index) == ("a.json", "annotations[12].segmentation[0]")
    assert Finding("refused", "error", "a.json", "[1]", "", "", "s").where == "s (a.json [1])"
    assert Finding("refused", "error", "", "", "", "", "s").where == "s"


def test_every_code_has_a_severity_and_a_line_and_no_other_is_taken() -> None:
    for code, rule in CODES.items():
        assert code == code.lower()
        assert rule.severity in ("error", "warning", "info")
        assert 10 < len(rule.meaning) < 110
    with pytest.raises(KeyError, match="no-such-code"):
        found("no-such-code", TOP, "", "")
    with pytest.raises(KeyError, match="no-such-code"):
        Finding("no-such-code", "error", "", "", "", "")


def test_any_user_error_can_be_a_finding() -> None:
    assert as_finding(UserError("m", "h"), "f", "s", "unreadable") == found("unreadable", "f", "m", "h", "s")
    assert as_finding(Fault("mask-size", "m.png", "r", "c"), "f", "s").code == "mask-size"


def test_the_page_for_users_lists_every_code_with_its_severity() -> None:
    page = (Path(__file__).parents[3] / "docs/your-own-data.md").read_text(encoding="utf-8")
    rows = [f"| `{code}` | {rule.severity} | {rule.meaning} |" for code, rule in CODES.items()]
    assert [row for row in rows if row not in page] == []
