from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from vesselbench import UserError
from vesselbench_sa2va import archives
from vesselbench_sa2va.archives import open_archive

TENSORS = {f"part{index}": torch.randn(7, index + 1) for index in range(9)}


def write_shards(folder: Path) -> None:
    for number in range(2):
        save_file({key: TENSORS[key] for key in list(TENSORS)[number::2]}, folder / f"{number}.safetensors")


@pytest.mark.parametrize("mapped", [0, 100, 2**30])
@pytest.mark.parametrize("kind", ["shards", "w.pth"])
def test_tensors_come_back_whenever_the_file_is_opened_anew(kind, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAPPED", mapped)
    if kind == "shards":
        write_shards(tmp_path)
    else:
        torch.save({"state_dict": TENSORS}, tmp_path / kind)
    archive = open_archive(tmp_path if kind == "shards" else tmp_path / kind)
    assert archive.shapes == {key: tuple(tensor.shape) for key, tensor in TENSORS.items()}
    assert all(torch.equal(archive.read(key), tensor) for key, tensor in TENSORS.items())


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_pages_of_a_large_file_do_not_stay_in_this_process(name, tmp_path):
    tensors = {f"part{index}": torch.zeros(2**20) for index in range(40)}
    if name.endswith(".pth"):
        torch.save(tensors, tmp_path / name)
    else:
        save_file(tensors, tmp_path / name)
    archive = open_archive(tmp_path / name)
    highest = 0
    for key in archive.shapes:
        archive.read(key).sum()
        highest = max(highest, mapped_bytes(tmp_path))
    assert 0 < highest <= archives.MAPPED + 2 * tensors["part0"].nbytes


def mapped_bytes(folder: Path) -> int:
    """Bytes of the files below a folder that are in this process's memory now (Linux)."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            ours = str(folder) in line
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.bool])
def test_types_that_are_no_weights_are_refused_in_torch_files(dtype, tmp_path):
    torch.save({"model": {"a": torch.zeros(2), "b": torch.zeros(2).to(dtype)}}, tmp_path / "w.pt")
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(UserError, match=f"w.pt: key 'b' is of type {name}"):
        open_archive(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{", " is not JSON: "),
        (b"\xff\xfe{}", " is not JSON: 'utf-8' codec"),
        (b"[]", " is no index of shards: it holds no mapping"),
        (b"{}", " lacks weight_map"),
        (b'{"weight_map": 3}', ": weight_map is 3, wanted is a mapping"),
        (b'{"weight_map": {}}', " is no index of shards: its weight_map is empty"),
        (b'{"weight_map": {"a": 3}}', ": weight_map.'a' is 3, wanted is the name of a .safetensors file"),
        (b'{"weight_map": {"a": "../a.safetensors"}}', ": weight_map.'a' is '../a.safetensors', wanted is"),
    ],
)
def test_an_index_that_is_none_is_named_with_what_is_wrong(content, found, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_archive(tmp_path)
    assert caught.value.message.startswith(f"{index}{found}")
    assert caught.value.hint


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no defect
@given(st.one_of(VALUES, st.dictionaries(st.just("weight_map"), st.dictionaries(st.text(), VALUES, max_size=3))))
def test_any_index_is_read_or_refused(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("index")
    (folder / "model.safetensors.index.json").write_text(json.dumps(value))
    with pytest.raises(UserError) as caught:
        open_archive(folder)
    caught.value.message.encode("utf-8")


def test_files_that_give_the_weights_their_meaning_belong_to_a_folder(tmp_path):
    write_shards(tmp_path)
    for name in ("config.json", "merges.txt", "README.md"):
        (tmp_path / name).write_text("{}")
    names = [path.name for path in open_archive(tmp_path).files]
    assert names == ["0.safetensors", "1.safetensors", "config.json", "merges.txt"]
    assert open_archive(tmp_path / "0.safetensors").files == [tmp_path / "0.safetensors"]


def test_a_key_in_two_shards_is_refused(tmp_path):
    write_shards(tmp_path)
    save_file({"part0": TENSORS["part0"]}, tmp_path / "1.safetensors")
    with pytest.raises(UserError, match=r"1\.safetensors: key 'part0' stands in an earlier file too"):
        open_archive(tmp_path)


def test_every_shard_of_the_index_is_hashed_once(tmp_path):
    write_shards(tmp_path)
    table = {key: f"{index % 2}.safetensors" for index, key in enumerate(TENSORS)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    files = open_archive(tmp_path).files
    assert files == [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    assert len(set(archives.sha256_of(files).values())) == 2
