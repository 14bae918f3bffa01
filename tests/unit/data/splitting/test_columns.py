"""A CSV file is read as spreadsheet programs write it, and every row must mean a sample: file and line are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.data.splitting.columns import Row, SampleIndex, read_rows
from vesselbench.errors import UserError
from vesselbench.types import Sample

KEYS = ("id", "file", "group")
SAMPLES = [
    Sample("a", Path("data/one/x.png"), (), group="p"),
    Sample("b", Path("data/two/x.png"), (), group="p"),
    Sample("c", Path("data/two/y.png"), (), group="q"),
]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_every_usual_kind_of_csv_is_read(tmp_path: Path, delimiter: str, end: str, start: str) -> None:
    lines = [("id", "set", "note"), ("a", "train", ""), (' "b" ', " test ", '"x, y; z"')]
    path = write(tmp_path / "s.csv", start + end.join([delimiter.join(line) for line in lines]) + end + end)
    rows = read_rows(path, "set", KEYS)
    assert [(row.line, row.cells["set"]) for row in rows] == [(2, "train"), (3, "test")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no column 'set'"),
        ("id,set\n", "no rows below its head"),
        ("id,kind\na,train\n", "no column 'set'; its head is 'id, kind'"),
        ("name,set\na,train\n", "none of the columns id, file, group"),
        ("id,set,set\na,train,test\n", "names the column 'set' twice"),
        ("id,set\na,train\nb\n", "line 3 has 1 cells, its head 2"),
        (b"id,set\n\xff,train\n", "is not UTF-8"),
        ('id,set\n"a,train\n', "is not CSV"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        read_rows(write(tmp_path / "s.csv", text), "set", KEYS)
    assert "s.csv" in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv cannot be read: No such file"):
        read_rows(tmp_path / "none.csv", "set", KEYS)


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_user_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzz.csv", b"id,set\n" + content)
    try:
        rows = read_rows(path, "set", KEYS)
    except UserError as error:
        assert "fuzz.csv" in error.message  # noqa: PT017 - the other way out is checked below
        return
    assert all(set(row.cells) == {"id", "set"} for row in rows)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ({"id": "a"}, "a"),
        ({"group": "p"}, "ab"),
        ({"file": "y.png"}, "c"),
        ({"file": "two/x.png"}, "b"),
        ({"file": "./two\\x.png"}, "b"),
        ({"group": "p", "file": "two/x.png"}, "b"),
        ({"id": "", "group": "q"}, "c"),
    ],
)
def test_a_row_means_the_samples_that_fit_all_it_names(cells: dict[str, str], found: str) -> None:
    rows = SampleIndex(SAMPLES).find(Row(2, cells), KEYS, Path("s.csv"))
    assert "".join(sample.id for sample in rows) == found


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"id": "aa"}, "s.csv line 2: no sample has id 'aa'"),
        ({"id": "a", "group": "q"}, "no sample has id 'a', group 'q'"),
        ({"file": "x.png"}, "'x.png' fits 2 images"),
        ({"file": "o/x.png"}, "no sample has file 'o/x.png'"),
        ({"id": ""}, "line 2: names nothing"),
    ],
)
def test_a_row_that_means_nothing_or_two_things_is_refused(cells: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        SampleIndex(SAMPLES).find(Row(2, cells), KEYS, Path("s.csv"))
