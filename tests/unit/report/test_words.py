"""Numbers as people read them."""

from __future__ import annotations

import pytest

from vesselbench.comparing.verdict import times
from vesselbench.report import words
from vesselbench.statistics.paired import Interval


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (words.score, 0.84249, "0.842"),
        (words.score, 43.61, "43.6"),
        (words.change, 0.0312, "+0.031"),
        (words.change, -0.0001, "0.000"),
        (words.change, -12.34, "-12.3"),
        (words.duration, 0.18, "180 ms"),
        (words.duration, 2.06, "2.06 s"),
        (words.duration, 412.0, "6 min 52 s"),
        (words.duration, 59400.0, "16 h 30 min"),
        (words.amount, 1_290_000_000, "1.29 B"),
        (words.amount, 412_345, "412 k"),
        (words.amount, 12, "12"),
        (words.size, 1_234_567_890, "1.15 GiB"),
        (words.size, 0, "0 B"),
        (words.probability, 0.125, "0.125"),
        (words.probability, 1e-9, "< 0.0001"),
        (words.rate, 23.456, "23.5"),
        (words.rate, 1234.5, "1,234"),
        (words.setting, None, "none"),
        (words.setting, True, "true"),
        (words.setting, [16, 32], "16, 32"),
        (words.setting, 1e-4, "0.0001"),
        (words.bounds, Interval(-0.01, 0.02), "[-0.010, +0.020]"),
        (words.bounds, Interval(None, None, "one group"), "one group"),
        (times, 0.104, "0.1 ×"),
        (times, 0.034, "0.03 ×"),
        (times, 0.0001, "less than 0.01 ×"),
        (times, 2345.6, "2,346 ×"),
    ],
)
def test_a_number_reads_as_expected(function, value, expected):
    assert function(value) == expected


def test_what_was_not_measured_is_a_dash_and_zero_is_a_number():
    assert words.or_absent(None, words.score) == "–"
    assert words.or_absent(0.0, words.score) == "0.000"
