"""Base weights that are damaged, of another model or exchanged: said in two lines, exactly, and nothing is changed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, models

from tests.base_folder import write_base
from vesselbench.cli import main
from vesselbench.testing import tiny_examples
from vesselbench_sa2va.building import skeleton
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.layouts import LAYOUTS
from vesselbench_sa2va.names import SAM, plain

SHORT = ["train.steps=1", "train.batch_size=1", "train.device=cpu", "train.zero_stage=0", "evaluation.threshold=0.5"]
MODEL = ["model.size=auto", "model.lora.r=4", "model.loss.points=64"]
WEIGHT = "language_model.model.layers.0.mlp.up_proj.weight"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base in three shards and six pairs of image and mask."""
    folder = tmp_path_factory.mktemp("pristine")
    write_base(folder / "base", shards=3)
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    for index, example in enumerate(tiny_examples(6, (32, 32))):
        Image.fromarray(example.image).save(folder / "data/images" / f"p{index}.png")
        Image.fromarray(example.mask.astype(np.uint8) * 255).save(folder / "data/masks" / f"p{index}.png")
    return folder


@pytest.fixture
def here(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with folders ``base`` and ``data`` of its own."""
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line; returns exit code, standard output and standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vesselbench", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return (int(end.value.code or 0), *capsys.readouterr())

    return call


def train(run: Run, *words: str, weights: str = "[base]") -> tuple[int, str, str]:
    data = ["data.format=pairs", "data.root=data"]
    return run("train", "sa2va", *data, *SHORT, *MODEL, f"model.weights={weights}", *words)


def the_error(result: tuple[int, str, str]) -> list[str]:
    """Message and cure of a user's mistake: exit code 2 and no traceback."""
    code, _, err = result
    assert code == 2, err
    assert "Traceback" not in err
    message, cure = err[err.index("error: ") :].splitlines()
    return [message.removeprefix("error: "), cure.removeprefix("  try: ")]


def sums(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shard_of(key: str) -> Path:
    return Path("base", json.loads(Path("base/model.safetensors.index.json").read_text())["weight_map"][key])


def change(key: str, tensor: torch.Tensor) -> Path:
    path = shard_of(key)
    save_file({**load_file(path), key: tensor}, path)
    return path


def describe_as(**values: Any) -> None:
    path = Path("base/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(run: Run, here: Path, *words: str, weights: str = "[base]") -> list[str]:
    """The error of a training; base and data are as they were, and its run is marked failed and has no weights."""
    before = sums(here)
    error = the_error(train(run, *words, weights=weights))
    assert {path: digest for path, digest in sums(here).items() if "runs" not in Path(path).parts} == before
    assert all('"status": "failed"' in path.read_text() for path in here.glob("runs/*/*/run.json"))
    assert not list(here.rglob("weights.safetensors"))
    return error


def test_a_missing_shard_is_named(run, here):
    Path("base/model-00002-of-00003.safetensors").unlink()
    message = f"{here}/base: 1 of 3 shards are missing: model-00002-of-00003.safetensors"
    assert refused(run, here) == [message, "copy them"]


def test_a_shard_that_was_cut_short_is_named(run, here):
    path = here / "base/model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    message, cure = refused(run, here)
    assert message.startswith(f"{path} is not a whole safetensors file: ")
    assert cure == "copy it again; it was cut short or is another kind"


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_numbers_of_another_type_are_named_with_their_key(dtype, name, run, here):
    path = here / change(WEIGHT, torch.zeros(128, 64).to(dtype))
    assert refused(run, here) == [f"{path}: key '{WEIGHT}' is of type {name}", "weights must be F32, BF16 or F16"]


def test_a_tokenizer_without_seg_is_refused(run, here):
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.add_special_tokens([AddedToken("<IMG_CONTEXT>", special=True)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(here / "other")
    assert refused(run, here, "model.tokenizer=other") == [
        f"{here}/other: the tokenizer has 2 tokens and no [SEG]",
        "give the tokenizer of a released Sa2VA model, or of its InternVL base",
    ]


def test_a_phrase_beyond_the_limit_names_the_sample(run, here):
    message, _ = refused(run, here, f"data.options.prompt={'vessel ' * 30}")
    assert message.startswith("the phrase of sample 'p")
    assert "(masks/p" in message
    assert message.endswith("has 209 characters, at most 200 are allowed")


def test_an_image_with_more_tiles_than_the_language_model_takes_names_the_sample(run, here):
    values = json.loads(Path("base/config.json").read_text())["llm_config"] | {"max_position_embeddings": 80}
    describe_as(llm_config=values)
    for path in [*here.glob("data/images/*.png"), *here.glob("data/masks/*.png")]:
        Image.open(path).resize((128, 32), Image.Resampling.NEAREST).save(path)
    message, cure = refused(run, here, "model.max_tiles=4")
    assert message.startswith("sample 'p")
    assert message.endswith("tokens, 20 of them for 5 tiles; the language model takes 80")
    assert cure == "lower model.max_tiles (now 4)"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"llm_config": {"architectures": ["InternLM2ForCausalLM"]}}, "the language model is InternLM2ForCausalLM"),
        ({"llm_config": {"architectures": ["Phi3ForCausalLM"]}}, "the language model is Phi3ForCausalLM"),
    ],
)
def test_another_language_model_is_named_with_what_is_supported(values, found, run, here):
    describe_as(**values)
    message, cure = refused(run, here)
    assert message == f"{here}/base/config.json: {found}"
    assert cure == (
        "supported: Sa2VA and InternVL of the kinds 2.5 and 3 whose language model is Qwen2 (InternViT-300M)"
    )


def test_a_model_based_on_qwen_vl_is_named_with_what_is_supported(run, here):
    Path("base/config.json").write_text(json.dumps({"model_type": "sa2va_qwen2_5_vl", "hidden_size": 2048}))
    message, cure = refused(run, here)
    assert message == f"{here}/base/config.json describes sa2va_qwen2_5_vl, no Sa2VA, InternVL or SAM 2 model"
    assert cure.startswith("supported: Sa2VA and InternVL of the kinds 2.5 and 3")


def training_file(rank: int = 4, width: int = 64, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    """Adapters of the first layer's up_proj and text_hidden_fcs as the official trainer names them."""
    wrapped = "mllm.model.language_model.base_model.model.model.layers.0.mlp.up_proj.lora_"
    return {
        f"{wrapped}A.default.weight": torch.zeros(rank, width),
        f"{wrapped}B.default.weight": torch.zeros(128, rank),
        "text_hidden_fcs.0.weight": torch.zeros(width, width),
        **more,
    }


def official_training_tensors(rank: int) -> dict[str, torch.Tensor]:
    """All that the official trainer would save of the model on the folder ``base``: zeros."""
    config = Sa2VAConfig.model_validate({"size": "auto", "weights": ["base"], "lora": {"r": rank}})
    layout, module = LAYOUTS[0][1], skeleton(config)
    stored = {plain(name): torch.zeros(parameter.shape) for name, parameter in module.named_parameters()}
    return {layout.find(n, {}).keys[0]: tensor for n, tensor in stored.items() if layout.holds.search(n)}


def test_a_training_checkpoint_of_26b_is_recognised_by_its_width(run, here):
    key = "mllm.model.language_model.base_model.model.model.layers.47.attention.wqkv.lora_A.default.weight"
    torch.save({"state_dict": training_file(width=6144, **{key: torch.zeros(4, 6144)})}, "iter_1000.pth")
    message, cure = refused(run, here, weights="[base,iter_1000.pth]")
    assert message.startswith(f"{here}/iter_1000.pth, read as official training checkpoint, does not fit this model; ")
    assert f"1 unexpected: {key}" in message
    assert "2 of another shape: text_hidden_fcs.0.weight (6144, 6144) against (64, 64), " in message
    assert cure.startswith(f"{key} is a key of InternLM2, the width 6144 that of InternVL2.5-26B; supported: ")


def test_a_training_checkpoint_of_another_lora_rank_gives_the_rank(run, here):
    held = official_training_tensors(8)
    torch.save({"state_dict": held}, "iter_1000.pth")
    message, cure = refused(run, here, weights="[base,iter_1000.pth]")
    start = (
        f"{here}/iter_1000.pth, read as official training checkpoint, does not fit this model; 28 of another shape: "
    )
    assert message.startswith(start)
    assert "layers.0.mlp.down_proj.lora_A.default.weight (8, 128) against (4, 128), " in message
    assert cure == "set model.lora.r=8, the rank of the file"


def test_a_torch_file_with_code_in_it_is_not_opened(run, here):
    torch.save({"state_dict": training_file(), "hook": Path("x").exists}, "iter_1000.pth")
    message, cure = refused(run, here, weights="[base,iter_1000.pth]")
    assert message == f"{here}/iter_1000.pth cannot be read as plain tensors: it holds pathlib.PosixPath"
    assert cure == "save its state_dict alone; objects and code in a file are never loaded"


def test_a_base_after_a_training_checkpoint_is_refused_with_the_order(run, here):
    held = official_training_tensors(4)
    torch.save({"state_dict": held}, "iter_1000.pth")
    message, cure = refused(run, here, weights="[iter_1000.pth,base]")
    assert message == (
        f"model.weights names {here}/base (released Sa2VA) after the training checkpoint {here}/iter_1000.pth, whose"
        " tensors it would replace"
    )
    assert cure == "name training checkpoints last in model.weights"


def test_two_training_checkpoints_are_refused(run, here):
    held = official_training_tensors(4)
    for name in ("iter_1.pth", "iter_2.pth"):
        torch.save({"state_dict": held}, name)
    assert refused(run, here, weights="[base,iter_1.pth,iter_2.pth]") == [
        f"model.weights names two training checkpoints, {here}/iter_1.pth and {here}/iter_2.pth",
        "name one: each holds all that was trained",
    ]


@pytest.mark.parametrize(("first", "second"), [("base", "sam2.pt"), ("sam2.pt", "base")])
def test_another_sam_under_a_released_model_is_refused_with_what_stands_twice(first, second, run, here):
    tensors = {key: tensor for path in here.glob("base/*.safetensors") for key, tensor in load_file(path).items()}
    sam = {key.removeprefix(SAM): tensor for key, tensor in tensors.items() if key.startswith(SAM)}
    torch.save({"model": sam}, "sam2.pt")
    message, cure = refused(run, here, weights=f"[{first},{second}]")
    found = re.match(rf"(\d+) tensors stand in {here}/{second} and in {here}/{first}: sam\.\S+, .* more$", message)
    assert found, message
    assert int(found[1]) > 200
    assert cure.startswith("name each base once: ")
    assert cure.endswith("(no other SAM 2 can be put under a released Sa2VA)")


def test_weights_in_bfloat16_are_not_trained_in_fp32(run, here):
    assert refused(run, here, "model.dtype=bfloat16") == [
        "the model holds its weights in bfloat16, train.precision is fp32",
        "set train.precision=bf16, or model.dtype=float32",
    ]


@pytest.fixture
def trained(run, here) -> Path:
    """A finished run on the base, which was named by a relative path."""
    code, _, err = train(run)
    assert code == 0, err
    (folder,) = here.glob("runs/sa2va/*")
    return folder


def test_a_run_records_the_sum_of_every_base_file_and_is_scored_from_anywhere(trained, here, run, monkeypatch):
    record = json.loads((trained / "run.json").read_text())
    files = {path: d for path, d in sums(here / "base").items() if not path.endswith(".index.json")}
    assert sorted(Path(path).name for path in files if path.endswith(".json")) == [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert len(files) == 6
    assert record["base_weights"] == files
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    code, _, err = run("evaluate", str(trained))
    assert code == 0, err


def test_another_base_is_refused_with_both_sums(trained, here, run):
    old = sums(here / "base")
    path = str(here / change(WEIGHT, torch.ones(128, 64)))
    before = sums(trained)
    message, cure = the_error(run("evaluate", str(trained)))
    now, then = sums(here / "base")[path], old[path]
    assert message == f"{path} is not the base that {trained} was trained on: SHA-256 now {now}, then {then}"
    assert cure == "restore that file, or train again"
    assert sums(trained) == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_another_configuration_or_tokenizer_beside_the_same_weights_is_refused(name, trained, here, run):
    path = here / "base" / name
    path.write_text(path.read_text() + " ")
    message, cure = the_error(run("evaluate", str(trained)))
    assert message.startswith(f"{path} is not the base that {trained} was trained on: SHA-256 now ")
    assert cure == "restore that file, or train again"


def test_a_checkpoint_of_another_rank_is_refused(trained, here, run):
    text = (trained / "config.yaml").read_text()
    (trained / "config.yaml").write_text(text.replace("r: 4", "r: 8"))
    message, cure = the_error(run("evaluate", str(trained)))
    assert "weights.safetensors is of another size: " in message
    assert ".lora_A.default.weight (4, 64) against (8, 64)" in message
    assert cure == "use the recipe that the file was trained with"
