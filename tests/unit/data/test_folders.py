"""A folder under its name is whole; what fails leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vesselbench.data.folders import beside, cached_folder, free_folder, user_cache, whole_folder
from vesselbench.errors import UserError


def test_a_whole_folder_appears_at_the_end_and_may_replace_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with whole_folder(tmp_path / "new") as draft:
        draft.mkdir()
        (draft / "a").touch()
        assert not any((tmp_path / "new").iterdir())
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "a"]


@pytest.mark.parametrize(("error", "seen"), [(ValueError, ValueError), (OSError, UserError), (KeyboardInterrupt,) * 2])
def test_a_block_that_fails_leaves_neither_draft_nor_records(
    tmp_path: Path, error: type[BaseException], seen: type[BaseException]
) -> None:
    record = beside(tmp_path / "new", "fix.json")

    def fill() -> None:
        with whole_folder(tmp_path / "new", [record]) as draft:
            draft.mkdir()
            record.touch()
            raise error("no space")

    with pytest.raises(seen):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_cached_folder_of_a_faster_process_stands(tmp_path: Path) -> None:
    with cached_folder(tmp_path / "cache", "free space") as draft:
        (draft / "mine").touch()
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache/theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["cache", "theirs"]


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda root: (root / "new").write_text("a file"), "is not empty"),
        (lambda root: (root / "new/x").mkdir(parents=True), "is not empty"),
        (lambda root: (root / "new.fix.md").touch(), r"new\.fix\.md exists already"),
        (lambda root: (root / "data").rename(root / "new") and (root / "data").symlink_to(root / "new"), "not empty"),
    ],
)
def test_a_folder_that_is_taken_is_refused(tmp_path: Path, prepare: Callable[[Path], object], reason: str) -> None:
    (tmp_path / "data/images").mkdir(parents=True)
    prepare(tmp_path)
    with pytest.raises(UserError, match=reason):
        free_folder(tmp_path / "new", [tmp_path / "data"], [beside(tmp_path / "new", "fix.md")])
    with pytest.raises(UserError, match="lie in one another"):
        free_folder(tmp_path / "data/copy", [tmp_path / "data"])


def test_the_users_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache() == Path("/somewhere/vesselbench")
