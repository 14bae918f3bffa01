"""What a pseudonymised comparison still says, and what it does not."""

from __future__ import annotations

import json

import pytest

from vesselbench.compare import compare
from vesselbench.comparing.contender import mean_of
from vesselbench.report import comparison_record, shown_comparison, tables

VALUES = {f"Meyer {n}": 0.5 + n / 100 for n in range(12)}
GROUPS = {image: f"child {image}" for image in VALUES}
WEIGHTS = ["/home/Schmidt/models/Huber-1b", "plain.pth"]
CONFIG = {
    "model": {"weights": WEIGHTS, "tokenizer": "words", "other": {"cache": "C:\\Schmidt\\cache"}, "width": 8},
    "train": {"deepspeed": {"nvme_path": "/home/Schmidt/nvme"}},
}


@pytest.fixture
def comparison(write_run):
    files = {"base_weights": dict.fromkeys(WEIGHTS, "0" * 64), "weights": "files"}
    return compare(
        [
            write_run("a", VALUES, GROUPS, config=CONFIG, observer2=VALUES, **files),
            write_run("b", dict.fromkeys(VALUES, 0.5), GROUPS, observer2=VALUES),
        ]
    )


def everything(shown):
    pages = [tables.origin_table(shown), *tables.setting_tables(shown), tables.split_table(shown)]
    return json.dumps(comparison_record(shown)) + repr(pages)


def test_no_id_group_folder_or_file_name_is_left(comparison):
    plain, hidden = (everything(shown_comparison(comparison, hide)) for hide in (False, True))
    for name in ("Meyer", "child", "Schmidt", "Huber", "plain.pth", "words", "nvme"):
        assert name not in hidden
    for name in ("Meyer", "child", "Schmidt", "Huber", "plain.pth", "words"):
        assert name in plain
    assert "8" in hidden


def test_the_same_file_has_the_same_pseudonym_in_settings_origin_and_notes(comparison):
    shown = shown_comparison(comparison, True)
    files = shown.runs[0].config["model"]["weights"]
    assert len(set(files)) == 2
    assert sorted(shown.runs[0].record["base_weights"]) == sorted(files)
    (note,) = [note for note in shown.notes if note.startswith("Unlike start")]
    assert all(file in note for file in files)


def test_images_stand_in_the_order_of_their_pseudonyms_with_their_own_values(comparison):
    shown = shown_comparison(comparison, True)
    assert list(shown.images) == sorted(shown.images)
    assert [row.id for row in shown.runs[0].scores.rows] == list(shown.images)
    assert [row.id for row in shown.observer2] == list(shown.images)
    assert [row.group for row in shown.runs[1].scores.rows] == list(shown.groups)
    assert shown.runs[0].values("dice") == [row.values["dice"] for row in shown.observer2]
    assert sorted(shown.runs[0].values("dice")) == sorted(VALUES.values())
    assert mean_of(shown.runs[0].values("dice")) == pytest.approx(mean_of(comparison.runs[0].values("dice")))


def test_names_differ_each_time(comparison):
    one, two = (shown_comparison(comparison, True) for _ in range(2))
    assert set(one.images).isdisjoint(two.images)


def test_without_pseudonyms_the_comparison_is_unchanged(comparison):
    assert shown_comparison(comparison, False) is comparison
