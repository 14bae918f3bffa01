"""Shards, names of SAM 2's memory, and tokenizers that lack the new tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vesselbench import UserError
from vesselbench_sa2va.archives import open_archive
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.export_files import copy_code, write_shards
from vesselbench_sa2va.export_memory import find_memory, released_name
from vesselbench_sa2va.export_tokenizer import write_tokenizer
from vesselbench_sa2va.sizes import SIZES
from vesselbench_sa2va.tokens import SA2VA_TOKENS, read_tokenizer

REAL = Path(__file__).parents[3] / "../shared/sa2va/tokenizer"


def _tensors(count: int = 5) -> dict[str, torch.Tensor]:
    return {f"layer.{number}.weight": torch.full((2, 4), float(number + 1)) for number in range(count)}


def test_what_fits_goes_into_one_file(tmp_path: Path) -> None:
    assert write_shards(_tensors().items(), tmp_path) == (5, 160)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(("largest", "files"), [(64, 3), (40, 5), (1, 5), (159, 2)])
def test_shards_keep_below_the_limit_and_their_index_leads_to_every_tensor(
    largest: int, files: int, tmp_path: Path
) -> None:
    assert write_shards(_tensors().items(), tmp_path, largest) == (5, 160)
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert names == [f"model-{number:05d}-of-{files:05d}.safetensors" for number in range(1, files + 1)]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 160
    for key, name in index["weight_map"].items():
        assert key in load_file(tmp_path / name)
    archive = open_archive(tmp_path)
    assert {key: archive.read(key).flatten()[0].item() for key in archive.shapes} == {
        f"layer.{number}.weight": number + 1 for number in range(5)
    }


def test_tensors_that_are_damaged_or_come_twice_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not finite b"):
        write_shards([("a", torch.ones(2)), ("b", torch.tensor([float("nan")]))], tmp_path, 1)
    with pytest.raises(ValueError, match="a would be written twice"):
        write_shards([("a", torch.ones(2)), ("a", torch.ones(2))], tmp_path, 1)


@pytest.mark.parametrize("largest", [10**6, 24, 8])
def test_a_key_that_comes_twice_is_refused_within_one_shard_and_across_shards(largest: int, tmp_path: Path) -> None:
    tensors = [(key, torch.full((2,), float(number))) for number, key in enumerate(["a", "b", "c", "b", "d"], 1)]
    with pytest.raises(ValueError, match="b would be written twice"):
        write_shards(tensors, tmp_path, largest)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("memory_encoder.fuser.layers.1.gamma", "memory_encoder.fuser.layers.1.g_weight"),
        ("memory_encoder.memory_fuser.layers.1.scale", "memory_encoder.fuser.layers.1.g_weight"),
        ("memory_encoder.mask_downsampler.layers.2.layer_norm.bias", "memory_encoder.mask_downsampler.encoder.7.bias"),
        ("memory_encoder.mask_downsampler.encoder.7.bias", "memory_encoder.mask_downsampler.encoder.7.bias"),
        ("object_pointer_proj.layers.0.weight", "obj_ptr_proj.layers.1.weight"),
        ("obj_ptr_proj.layers.0.weight", "obj_ptr_proj.layers.0.weight"),
        ("memory_attention.layers.0.layer_norm3.weight", "memory_attention.layers.0.norm3.weight"),
        ("memory_attention.layer_norm.weight", "memory_attention.norm.weight"),
    ],
)
def test_memory_of_every_kind_of_sam2_file_gets_its_released_name(key: str, name: str) -> None:
    assert released_name(key) == f"grounding_encoder.sam2_model.{name}"


def test_memory_is_counted_and_newer_memory_left_out(tmp_path: Path) -> None:
    held = {"memory_encoder.fuser.layers.0.gamma": torch.ones(2), "no_obj_embed_spatial": torch.ones(1)}
    torch.save({"model": held | {"no_mem_embed": torch.ones(1)}}, tmp_path / "sam2.pt")
    memory = find_memory([tmp_path / "sam2.pt"])
    ((name, tensor),) = memory.tensors(torch.bfloat16)
    assert name == "grounding_encoder.sam2_model.memory_encoder.fuser.layers.0.g_weight"
    assert tensor.dtype == torch.bfloat16
    assert memory.newer == ["no_obj_embed_spatial"]
    assert "1 of 157" in memory.lines()[0]


def test_only_the_code_of_a_released_model_is_copied(tmp_path: Path) -> None:
    base, other, to = (tmp_path / name for name in ("base", "other", "to"))
    for folder in (base, other, to):
        folder.mkdir()
    (other / "setup.py").write_text("")
    assert copy_code([other], to) == []
    for name in ("modeling_sa2va_chat.py", "sam2.py"):
        (base / name).write_text(name)
    assert copy_code([other, base], to) == ["modeling_sa2va_chat.py", "sam2.py"]
    assert (to / "sam2.py").read_text() == "sam2.py"


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """The released tokenizer, in a folder that may be changed."""
    if not REAL.is_dir():
        pytest.skip("the released tokenizer is not beside this repository")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for path in REAL.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder


def test_a_released_tokenizer_is_copied_as_it_is(real: Path, tmp_path: Path) -> None:
    config, to = Sa2VAConfig(size="2b", tokenizer=real), tmp_path / "to"
    to.mkdir()
    lines = write_tokenizer(config, SIZES["2b"], to)
    assert len(lines) == 1
    assert {path.name: path.read_bytes() for path in to.iterdir()} == {p.name: p.read_bytes() for p in real.iterdir()}


def test_a_tokenizer_without_the_new_tokens_gets_them_in_every_file(real: Path, tmp_path: Path) -> None:
    config, to = Sa2VAConfig(size="2b", tokenizer=real), tmp_path / "to"
    to.mkdir()
    before = {path.name: json.loads(path.read_text()) for path in real.glob("*.json")}
    settings, listed = json.loads((real / "tokenizer_config.json").read_text()), before["added_tokens.json"]
    decoder = {key: entry for key, entry in settings["added_tokens_decoder"].items() if int(key) < 151674}
    (real / "tokenizer_config.json").write_text(json.dumps({**settings, "added_tokens_decoder": decoder}))
    fewer = {token: number for token, number in listed.items() if token not in SA2VA_TOKENS}
    (real / "added_tokens.json").write_text(json.dumps(fewer))
    lines = write_tokenizer(config, SIZES["2b"], to)
    assert "[SEG] 151674" in lines[1]
    assert json.loads((to / "added_tokens.json").read_text()) == listed
    written = json.loads((to / "tokenizer_config.json").read_text())
    assert written["added_tokens_decoder"] == before["tokenizer_config.json"]["added_tokens_decoder"]
    tokenizer, released = read_tokenizer(to, SIZES["2b"]), read_tokenizer(REAL, SIZES["2b"])
    text = "Sure, [SEG].<|im_end|>\n<vp>x</vp>"
    assert tokenizer.encode(text).ids == released.encode(text).ids
