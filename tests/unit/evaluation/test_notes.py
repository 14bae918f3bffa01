"""Lines of several processes are read together; what is of something else, half or refused does not count."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from vesselbench.errors import UserError
from vesselbench.evaluation.notes import Notes
from vesselbench.rundir import append_jsonl, part_name, parts_of, write_jsonl


@dataclass(frozen=True)
class Item:
    id: str
    value: int


def parse(value):
    item = Item(**value)
    return None if item.value < 0 else (item.id, item)


def test_notes_of_all_processes_are_taken_over_into_one_file(tmp_path):
    for rank, names in enumerate(["ac", "b", "cd"]):
        write_jsonl(tmp_path / part_name("done", rank), [{"key": {"w": 1}}])
        for name in names:
            append_jsonl(tmp_path / part_name("done", rank), {"id": name, "value": rank})
    notes = Notes(tmp_path, "done", {"w": 1}, parse)
    assert sorted(notes.before) == ["a", "b", "c", "d"]
    assert [path.name for path in parts_of(tmp_path, "done")] == ["done.jsonl"]
    notes.add(Item("e", 5))
    again = Notes(tmp_path, "done", {"w": 1}, parse)
    assert sorted(again.before) == ["a", "b", "c", "d", "e"]
    assert again.before["e"] == Item("e", 5)
    assert Notes(tmp_path, "done", {"w": 2}, parse).before == {}


def test_half_a_line_a_damaged_one_and_a_refused_one_do_not_count(tmp_path, caplog):
    write_jsonl(tmp_path / "done.jsonl", [{"key": {}}, {"id": "a", "value": 1}, {"id": "b", "value": -1}, {"id": 7}])
    with open(tmp_path / "done.jsonl", "a") as file:
        file.write('{"id": "c", "val')
    assert list(Notes(tmp_path, "done", {}, parse).before) == ["a"]
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [str(tmp_path / "done.jsonl line 4 is damaged") in message for message in warned] == [True]


def test_other_files_are_left_alone(tmp_path):
    for name in ("done-x.jsonl", "done2.jsonl", "undone.jsonl"):
        (tmp_path / name).write_text("mine")
    Notes(tmp_path, "done", {}, parse)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("done-x.jsonl", "done.jsonl", "done2.jsonl", "undone.jsonl")
    ]


def test_a_file_that_cannot_be_read_is_the_users_error(tmp_path):
    (tmp_path / "done.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot use .*done\.jsonl"):
        Notes(tmp_path, "done", {}, parse)
