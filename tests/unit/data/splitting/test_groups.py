"""The patient comes from a file, an expression or the format; else one is proposed, and never applied by itself."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.config import DataConfig
from vesselbench.data.splitting.groups import assign_groups, propose_group
from vesselbench.errors import UserError
from vesselbench.recipes import parse_override
from vesselbench.types import Sample


def samples_at(root: Path, paths: list[str], group: str = "") -> list[Sample]:
    return [Sample(path.rpartition(".")[0], root / path, (), group=group) for path in paths]


def groups_of(expression: str, root: Path, paths: list[str]) -> list[str]:
    return [sample.group for sample in assign_groups(samples_at(root, paths), root, DataConfig(group=expression))]


EYES = [f"images/Image_{child:02d}{eye}.jpg" for child in range(1, 15) for eye in "LR"]
FRAMES = [f"patient{patient:02d}_{frame:03d}.png" for patient in range(5) for frame in range(8)]
SEQUENCES = [f"p{p}_s{s}_f{f:04d}.png" for p in range(4) for s in range(2) for f in range(5)]
FOLDERS = [f"images/{name}/{frame}.png" for name in ("anna", "bert", "cleo") for frame in range(4)]
SEVERAL = [f"angio1_{patient}_{frame}.png" for patient in (17, 23, 42) for frame in range(3)]


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        (EYES, {f"Image_{child:02d}" for child in range(1, 15)}),
        (FRAMES, {f"patient{patient:02d}" for patient in range(5)}),
        (SEQUENCES, {"p0", "p1", "p2", "p3"}),
        (FOLDERS, {"anna", "bert", "cleo"}),
        (SEVERAL, {"angio1_17", "angio1_23", "angio1_42"}),
    ],
    ids=["eyes", "frames", "sequences", "folders", "second number"],
)
def test_the_usual_ways_to_name_files_are_understood(tmp_path: Path, paths: list[str], groups: set[str]) -> None:
    proposal = propose_group(paths)
    assert proposal is not None
    assert set(groups_of(proposal.expression, tmp_path, paths)) == groups
    assert proposal.groups == len(groups)
    assert str(len(groups)) in proposal.explanation


@pytest.mark.parametrize(
    "paths",
    [
        [f"{number}.png" for number in range(30)],
        [f"frame_{number:04d}.png" for number in range(30)],
        [f"{name}.png" for name in ("anna", "bert", "cleo", "dora")],
        ["train/1.png", "train/2.png", "test/1.png", "test/2.png", "val/1.png", "val/2.png"],
        ["a1_1.png", "a1_2.png", "a2_1.png", "a2_2.png"],
        [],
    ],
    ids=["counter", "prefix and counter", "no numbers", "set folders", "two patients only", "nothing"],
)
def test_names_that_tell_nothing_get_no_proposal(paths: list[str]) -> None:
    assert propose_group(paths) is None


@given(st.lists(st.from_regex(r"([a-z0-9]{1,3}/)?[a-z]{0,3}[0-9_]{0,6}[LR]?\.png", fullmatch=True), max_size=30))
def test_a_proposal_always_fits_every_name_and_survives_the_command_line(paths: list[str]) -> None:
    proposal = propose_group(paths)
    if proposal is None:
        return
    found = groups_of(proposal.expression, Path("/data"), paths)
    assert len(set(found)) == proposal.groups >= 3
    assert parse_override(f"data.group={proposal.expression}") == {"data": {"group": proposal.expression}}


def test_a_proposal_is_said_and_not_applied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = assign_groups(samples_at(tmp_path, EYES), tmp_path, DataConfig())
    assert len({sample.group for sample in found}) == 28
    (record,) = caplog.records
    proposal = propose_group(EYES)
    assert proposal is not None
    assert "each of 28 images is a group of its own" in record.getMessage()
    assert f"data.group='{proposal.expression}' (14 groups)" in record.getMessage()


def test_without_a_proposal_the_warning_says_what_to_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assign_groups(samples_at(tmp_path, ["1.png", "2.png", "3.png"]), tmp_path, DataConfig())
    assert "set data.group or data.groups" in caplog.text


def test_a_single_image_needs_no_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert assign_groups(samples_at(tmp_path, ["1.png"]), tmp_path, DataConfig())[0].group == "1"
    assert not caplog.records


def test_the_formats_own_groups_stand_and_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = assign_groups(samples_at(tmp_path, EYES, group="patient"), tmp_path, DataConfig())
    assert {sample.group for sample in found} == {"patient"}
    assert not caplog.records


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(", "is no regular expression"),
        (r"\d", "has 0 captures"),
        (r"(\d)([LR])", "has 2 captures"),
        ("(x)", "finds no"),
    ],
)
def test_an_expression_that_does_not_fit_is_refused(tmp_path: Path, expression: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        groups_of(expression, tmp_path, EYES)


def write(path: Path, text: str) -> DataConfig:
    path.write_text(text)
    return DataConfig(groups=path)


@pytest.mark.parametrize("key", ["id", "file"])
def test_groups_come_from_a_column(tmp_path: Path, key: str) -> None:
    samples = samples_at(tmp_path, FRAMES[:12], group="of the format")
    values = [sample.id if key == "id" else sample.image.name for sample in samples]
    rows = "\n".join(f"{value},patient {number % 3}" for number, value in enumerate(values))
    found = assign_groups(samples, tmp_path, write(tmp_path / "g.csv", f"{key},group\n{rows}\n"))
    assert [sample.group for sample in found] == [f"patient {number % 3}" for number in range(12)]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a,p\n", r"has no group for 1 samples, the first is 'b'"),
        ("a,p\nb,\n", r"g\.csv line 3: the group is empty"),
        ("a,p\nb,p\na,q\n", r"g\.csv line 4: sample 'a' is of group 'q', in line 2 of 'p'"),
        ("a,p\nb,p\nc,q\n", r"g\.csv line 4: no sample has id 'c'"),
    ],
)
def test_a_file_of_groups_that_does_not_fit_is_refused(tmp_path: Path, rows: str, reason: str) -> None:
    config = write(tmp_path / "g.csv", f"id,group\n{rows}")
    with pytest.raises(UserError, match=reason):
        assign_groups(samples_at(tmp_path, ["a.png", "b.png"]), tmp_path, config)


def test_two_sources_of_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="both name the patient"):
        DataConfig(group="(x)", groups=Path("g.csv"))
