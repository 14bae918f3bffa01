"""Files in every layout, written from a module and read back into one on the meta device."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vesselbench import UserError
from vesselbench_sa2va.archives import open_archive
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.merged import merged_names, merged_tensor, official_tensors
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import SAM
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.weights import fill, find_sources

MakeConfig = Callable[..., Sa2VAConfig]
NEW = 5


@pytest.fixture
def released(make_module: Callable[..., Sa2VAModule]) -> dict[str, Tensor]:
    """Every tensor of a random module under its official key."""
    model = make_module()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
    return dict(official_tensors(model))


@pytest.fixture
def load(make_config: MakeConfig, shape: Shape) -> Callable[..., Sa2VAModule]:
    def load(*paths: Path, dtype: torch.dtype = torch.float32, **values: object) -> Sa2VAModule:
        config = make_config(**({"freeze": "official"} | values))
        with torch.device("meta"):
            module = Sa2VAModule(shape, config, config.frozen)
        fill(module, find_sources(module, paths, NEW), dtype)
        return module

    return load


def _write(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Safetensors, or for .pt and .pth PyTorch's own format."""
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    else:
        torch.save({"model": tensors}, path)
    return path


def _plain(module: Sa2VAModule) -> dict[str, Tensor]:
    return {name: merged_tensor(module, full) for name, full in merged_names(module).items()}


def _vlm(released: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in released.items() if not k.startswith((SAM, "text_"))}


def _sam(released: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(SAM): v for k, v in released.items() if k.startswith(SAM)}


def test_a_released_file_comes_back_key_by_key(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    again = dict(official_tensors(load(_write(tmp_path / "model.safetensors", released))))
    assert again.keys() == released.keys()
    assert all(torch.equal(again[key], released[key]) for key in released)


def test_shards_are_read_by_their_index_and_a_missing_one_is_named(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    keys = sorted(released)
    halves = {"a.safetensors": keys[::2], "b.safetensors": keys[1::2]}
    for name, part in halves.items():
        _write(tmp_path / name, {key: released[key] for key in part})
    index = {"weight_map": {key: name for name, part in halves.items() for key in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(dict(official_tensors(load(tmp_path)))[keys[1]], released[keys[1]])
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"1 of 2 shards are missing: b\.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["official", "transformers"])
def test_internvl_and_sam2_files_make_the_same_model_and_new_tokens_start_at_the_mean(
    kind: str, released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    whole = load(_write(tmp_path / "whole.safetensors", released))
    if kind == "official":
        vlm, sam = _vlm(released), _sam(released)
        sam["memory_attention.norm.weight"] = torch.ones(3)
        tables = ["language_model.model.embed_tokens.weight", "language_model.lm_head.weight"]
    else:
        named = _plain(whole)
        vlm = {n.removeprefix("vlm."): t for n, t in named.items() if n.startswith("vlm.")}
        sam = {n.removeprefix("sam."): t for n, t in named.items() if n.startswith("sam.")}
        tables = ["model.language_model.embed_tokens.weight", "lm_head.weight"]
    for table in tables:
        vlm[table] = vlm[table][:-NEW]
    built = load(_write(tmp_path / "vlm.safetensors", vlm), _write(tmp_path / "sam2.pt", sam))
    ours, expected = _plain(built), _plain(whole)
    for name, tensor in expected.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            assert torch.equal(ours[name][:-NEW], tensor[:-NEW])
            torch.testing.assert_close(ours[name][-NEW:], tensor[:-NEW].mean(0, keepdim=True).expand(NEW, -1))
        elif not name.startswith("text_"):
            assert torch.equal(ours[name], tensor), name
    assert all(p.isfinite().all() and p.any() for p in built.text_hidden_fcs.parameters())


def test_older_transformers_files_of_internvl_are_known_too(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    whole = load(_write(tmp_path / "whole.safetensors", released))
    older = {}
    for name, tensor in _plain(whole).items():
        if name.startswith("vlm."):
            key = name.removeprefix("vlm.").replace("lm_head.", "language_model.lm_head.")
            older[key.removeprefix("model.").replace("language_model.", "language_model.model.", 1).replace(
                "language_model.model.lm_head.", "language_model.lm_head.")] = tensor  # fmt: skip
    built = load(_write(tmp_path / "older.safetensors", older), _write(tmp_path / "sam.safetensors", _sam(released)))
    assert torch.equal(_plain(built)["vlm.lm_head.weight"], released["language_model.lm_head.weight"])


def test_adapters_start_as_peft_starts_them(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    module = load(_write(tmp_path / "model.safetensors", released))
    a = [p for n, p in module.named_parameters() if ".lora_A." in n]
    b = [p for n, p in module.named_parameters() if ".lora_B." in n or n.startswith("new_")]
    assert a
    assert all(p.std() > 0 and p.requires_grad for p in a)
    assert all(not p.any() and p.requires_grad for p in b)
    assert not any(tensor.is_meta for tensor in [*module.parameters(), *module.buffers()])


def test_trained_copies_start_as_the_loaded_tables(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    lora = {"r": 4, "alpha": 8, "dropout": 0, "tokens": "official"}
    module = load(_write(tmp_path / "model.safetensors", released), lora=lora)
    head = module.internvl.lm_head
    assert torch.equal(head.modules_to_save["default"].weight, head.original_module.weight)
    assert torch.equal(head.original_module.weight, released["language_model.lm_head.weight"])


def test_a_loaded_module_predicts_what_the_written_one_did(
    make_module: Callable[..., Sa2VAModule],
    load: Callable[..., Sa2VAModule],
    make_batch: Callable[..., object],
    make_example: Callable[..., object],
    tmp_path: Path,
) -> None:
    written = make_module().eval()
    read = load(_write(tmp_path / "model.safetensors", dict(official_tensors(written)))).eval()
    batch = make_batch([make_example(0, (40, 50))])
    torch.testing.assert_close(read.predict(batch)[0], written.predict(batch)[0], atol=1e-6, rtol=0)


def test_bfloat16_files_and_modules_keep_the_frequencies_in_float32(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    half = {key: tensor.bfloat16() for key, tensor in released.items()}
    module = load(_write(tmp_path / "model.safetensors", half), dtype=torch.bfloat16)
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    assert module.sam.shared_image_embedding.positional_embedding.dtype == torch.float32


def test_missing_and_unexpected_keys_are_all_named(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    released["text_hidden_fcs.9.weight"] = released.pop("text_hidden_fcs.2.weight")
    with pytest.raises(UserError) as caught:
        load(_write(tmp_path / "model.safetensors", released))
    assert "1 keys missing: text_hidden_fcs.2.weight" in caught.value.message
    assert "1 unexpected: text_hidden_fcs.9.weight" in caught.value.message


def test_a_file_of_another_model_is_guessed_by_its_width(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    released["text_hidden_fcs.0.weight"] = torch.zeros(6144, 6144)
    with pytest.raises(UserError, match=r"text_hidden_fcs\.0\.weight \(6144, 6144\) against \(64, 64\)") as caught:
        load(_write(tmp_path / "model.safetensors", released))
    assert "26B" in caught.value.hint


def test_internvl_alone_asks_for_sam2(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"nothing for \d+ tensors of SAM 2"):
        load(_write(tmp_path / "model.safetensors", _vlm(released)))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_that_was_cut_short_is_named(
    suffix: str, released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    path = _write(tmp_path / f"model{suffix}", released)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=f"model{suffix}") as caught:
        load(path)
    assert "cut short" in caught.value.hint


def test_integer_weights_are_refused_by_key(
    released: dict[str, Tensor], load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    released["mlp1.1.weight"] = released["mlp1.1.weight"].to(torch.int8)
    with pytest.raises(UserError, match=r"'mlp1\.1\.weight' is of type I8"):
        load(_write(tmp_path / "model.safetensors", released))


def test_a_torch_file_that_would_run_code_is_refused(load: Callable[..., Sa2VAModule], tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "hook": Path("x").exists}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match=r"evil\.pt cannot be read as plain tensors"):
        load(tmp_path / "evil.pt")


@pytest.mark.parametrize(
    ("name", "found"), [("absent", "does not exist"), ("empty", "no .safetensors file"), ("model.onnx", "no kind of")]
)
def test_paths_that_hold_no_weights_are_refused(
    name: str, found: str, load: Callable[..., Sa2VAModule], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UserError, match=found):
        load(tmp_path / name)


def test_a_file_of_no_known_kind_shows_its_keys(load: Callable[..., Sa2VAModule], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no known kind; its first keys: net\.weight"):
        load(_write(tmp_path / "unet.safetensors", {"net.weight": torch.zeros(2)}))


def test_a_torch_file_whose_keys_are_no_texts_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(2), 7: torch.zeros(2)}}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="key 7 is no text"):
        open_archive(tmp_path / "w.pt")
