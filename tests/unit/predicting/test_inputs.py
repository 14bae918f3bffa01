"""Every image is found once, has a name of its own, and what is left out is listed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.predicting.inputs import OUTPUT_SUFFIXES, _stems, find_images


def names(found) -> list[str]:
    return [picture.name for picture in found.pictures]


def stems(found) -> list[str]:
    return [picture.stem for picture in found.pictures]


def test_a_folder_is_searched_with_all_below_it_and_paths_are_kept(write, tmp_path):
    for name in ("set/b.png", "set/a.JPG", "set/eye/left/c.tif"):
        write(name)
    found = find_images([tmp_path / "set"])
    assert names(found) == ["a.JPG", "b.png", "eye/left/c.tif"]
    assert stems(found) == ["a", "b", "eye/left/c"]


def test_files_that_are_no_images_and_linked_folders_are_listed_not_entered(write, tmp_path):
    write("set/a.png")
    (tmp_path / "set" / "notes.txt").write_text("x")
    write("elsewhere/b.png")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "elsewhere")
    found = find_images([tmp_path / "set"])
    assert names(found) == ["a.png"]
    assert sorted(found.others) == [str(tmp_path / "set" / "more"), str(tmp_path / "set" / "notes.txt")]


def test_a_link_out_of_the_folder_is_refused_by_name(write, tmp_path):
    write("elsewhere/b.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (picture,) = find_images([tmp_path / "set"]).pictures
    assert "link out of" in picture.refused


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path):
    (tmp_path / "frame.dat").write_bytes(b"x")
    assert names(find_images([tmp_path / "frame.dat"])) == ["frame.dat"]


def test_equal_names_in_two_folders_keep_the_paths_below_what_they_share(write, tmp_path):
    one, two = write("a/x.png"), write("b/x.png")
    assert stems(find_images([tmp_path / "a", tmp_path / "b"])) == ["a/x", "b/x"]
    assert stems(find_images([one, two])) == ["a/x", "b/x"]


def test_an_image_named_twice_is_predicted_once_and_said(write, tmp_path):
    path = write("a/x.png")
    found = find_images([tmp_path / "a", path])
    assert names(found) == ["x.png"]
    assert found.doubled == (str(path),)


def test_images_that_share_a_stem_keep_their_suffix(write, tmp_path):
    write("a/x.png"), write("a/X.tif"), write("a/y.png")
    assert sorted(stems(find_images([tmp_path / "a"]))) == ["X.tif", "x.png", "y"]


@pytest.mark.parametrize("argument", ["nowhere", "empty"])
def test_a_path_that_is_not_there_and_a_folder_without_images_are_errors(tmp_path, argument):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=argument):
        find_images([tmp_path / argument])


PART = st.sampled_from(["a", "A", "a.png", "b.jpg", "x" * 230])
FILE = st.builds(
    lambda parts, suffix: "/".join(parts) + suffix, st.lists(PART, min_size=1, max_size=3), st.just(".png")
)


@given(st.lists(FILE, unique_by=str.casefold, min_size=1, max_size=8))
def test_no_two_outputs_share_a_path_and_none_is_a_folder_of_another(files):
    made = _stems(files)
    for suffix in OUTPUT_SUFFIXES:
        paths = [f"{stem}{suffix}".casefold() for stem in made]
        folders = {str(parent) for path in paths for parent in Path(path).parents}
        assert len(set(paths)) == len(paths)
        assert not folders & set(paths)
    assert all(len(part.encode()) <= 200 for stem in made for part in stem.split("/"))
