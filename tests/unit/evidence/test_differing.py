"""Where two values differ is said with the way there."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vesselbench.evidence.differing import Comparing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def named(stated, found) -> list[str]:
    return [difference.where for difference in Comparing().differences(stated, found, "x")]


@settings(max_examples=50)
@given(JSON)
def test_a_value_does_not_differ_from_itself(value):
    assert named(value, value) == []


def test_every_kind_of_difference_is_named_with_its_place():
    assert named({"a": [1, 2.0]}, {"a": [1, 2.0 + 1e-12]}) == []
    assert named({"a": [1, 2.0]}, {"a": [1, 2.1]}) == ["x.a[1]"]
    assert named({"a": 1}, {"b": 1}) == ["x.a", "x.b"]
    assert named([1], [1, 2]) == ["x, number of entries"]
    assert named(True, 1) == ["x"]
    assert named(None, 0) == ["x"]
    assert named({"a": "one"}, {"a": "two"}) == ["x.a"]


def test_a_pixel_of_the_largest_image_is_no_rounding():
    assert named(0.5, 0.5 + 1e-8) == ["x"]
