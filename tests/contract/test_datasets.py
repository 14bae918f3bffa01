"""Every registered data set format, held to the same rules."""

from __future__ import annotations

import pytest

from vesselbench import UserError
from vesselbench.config import DataConfig
from vesselbench.data.read import read_samples
from vesselbench.plugins import load_catalogue

FORMATS = sorted(load_catalogue().datasets)
NEED_FILES = [name for name in FORMATS if name != "phantom"]  # it draws its own


@pytest.mark.parametrize("name", FORMATS)
def test_it_says_what_it_reads(name, catalogue):
    assert (type(catalogue.datasets[name]).__doc__ or "").strip()


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_option_is_refused_with_its_path(name, catalogue, tmp_path):
    with pytest.raises(UserError, match=r"data\.options\.no_such_option") as caught:
        read_samples(DataConfig(format=name, root=tmp_path, options={"no_such_option": 1}), catalogue)
    assert caught.value.hint


@pytest.mark.parametrize("name", NEED_FILES)
def test_an_empty_folder_is_no_data_set(name, catalogue, tmp_path):
    with pytest.raises(UserError) as caught:
        read_samples(DataConfig(format=name, root=tmp_path), catalogue)
    assert caught.value.hint


@pytest.mark.parametrize("name", NEED_FILES)
def test_a_folder_that_is_not_there_is_named(name, catalogue, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_samples(DataConfig(format=name, root=tmp_path / "nowhere"), catalogue)
