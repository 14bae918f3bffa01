"""No zip writes outside the folder, follows a link, or fills the disk."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.evidence.unpack import Limits, unpack


def archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as written:
        for name, content in entries:
            written.writestr(name, content)
    return path


def test_files_come_out_as_they_went_in(tmp_path):
    made = archive(tmp_path / "a.zip", ("x/y.txt", b"1"), ("z", b"22"), ("empty/", b""))
    assert unpack(made, tmp_path / "out").paths == ("x/y.txt", "z")
    assert (tmp_path / "out" / "x" / "y.txt").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:\\x", "a\\..\\x", "a\x01", "x" * 500])
def test_a_path_that_may_leave_the_folder_is_refused_before_anything_is_written(tmp_path, name):
    made = archive(tmp_path / "a.zip", ("good", b"1"), (zipfile.ZipInfo(name), b"1"))
    with pytest.raises(UserError, match="is refused"):
        unpack(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_is_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="a link or a device"):
        unpack(archive(tmp_path / "a.zip", (entry, b"/etc/passwd")), tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "message"),
    [(("a", "A"), "two files"), (("a", "a/b"), "a file and a folder"), (("a",) * 3, "more than 2")],
)
def test_entries_that_would_overwrite_each_other_and_too_many_are_refused(tmp_path, names, message):
    made = archive(tmp_path / "a.zip", *((zipfile.ZipInfo(f"{name}"), b"1") for name in dict.fromkeys(names)))
    if message == "more than 2":
        made = archive(tmp_path / "a.zip", ("a", b""), ("b", b""), ("c", b""))
    with pytest.raises(UserError, match=message):
        unpack(made, tmp_path / "out", Limits(files=2))


def test_sizes_are_counted_not_believed(tmp_path):
    made = archive(tmp_path / "a.zip", ("bomb", b"0" * 5_000_000), compression=zipfile.ZIP_DEFLATED)
    assert made.stat().st_size < 10_000
    with pytest.raises(UserError, match="larger than 1,000,000 bytes"):
        unpack(made, tmp_path / "out", Limits(single=1_000_000))
    with pytest.raises(UserError, match="larger than 2,000,000 bytes"):
        unpack(made, tmp_path / "more", Limits(total=2_000_000))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_zip_is_refused_or_read_never_an_exception(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("zip")
    made = archive(folder / "a.zip", ("x/y.txt", b"123" * 50), ("z", b"22"), compression=zipfile.ZIP_DEFLATED)
    content = bytearray(made.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    made.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        written = unpack(made, folder / "out")
    except UserError:
        return
    assert not {*written.paths} & {*written.damaged}
    assert all((folder / "out" / name).resolve().is_relative_to((folder / "out").resolve()) for name in written.paths)
    assert all((folder / "out" / name).is_file() for name in written.paths)


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_byte_changed_within_a_file_is_named_and_the_file_is_not_written(tmp_path, packed):
    made = archive(tmp_path / "a.zip", ("good", b"1" * 200), ("bad", bytes(range(200))), compression=packed)
    with zipfile.ZipFile(made) as opened:
        entry = opened.getinfo("bad")
    content = bytearray(made.read_bytes())
    content[entry.header_offset + 30 + len("bad") + entry.compress_size // 2] ^= 0x10
    made.write_bytes(bytes(content))
    found = unpack(made, tmp_path / "out")
    assert found.paths == ("good",)
    assert list(found.damaged) == ["bad"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
