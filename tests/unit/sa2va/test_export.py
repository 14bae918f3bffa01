"""The exported forms of Sa2VA: trained runs, and small released bases with adapters on them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tests.base_folder import write_base
from vesselbench import Task, UserError
from vesselbench.config import Recipe
from vesselbench.evaluation.predict import Predictor, load_predictor
from vesselbench.export import export
from vesselbench.model import build_model
from vesselbench.recipes import load_recipe, model_settings, validate_recipe
from vesselbench.rundir import RunDir
from vesselbench.training.loop import train
from vesselbench.watch import Silent
from vesselbench_sa2va import merged as merged_module
from vesselbench_sa2va.adapter import load_adapter, write_adapter
from vesselbench_sa2va.archives import open_archive
from vesselbench_sa2va.building import build, shape_of
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.export import compare_tensors, merged_config, open_merged, write_merged
from vesselbench_sa2va.internvl import build_internvl
from vesselbench_sa2va.merged import merged_names, merged_tensor
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import SAM
from vesselbench_sa2va.tokens import tiny_tokenizer

IDS = {"eos_token_id": 2}
TASK = Task(("vessel",))
ADAPTED = re.compile(r"^language_model\.model\.layers\.\d+\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.weight$")
FROZEN = re.compile(
    r"^vision_model\.|^language_model\..*(norm\.weight|_proj\.bias)$|\.image_encoder\.|\.sam_prompt_encoder\."
)
Make = Callable[..., Sa2VAModule]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One base of random weights in the released layout."""
    return write_base(tmp_path_factory.mktemp("shared") / "base")


@pytest.fixture(scope="module")
def trained(catalogue: Any, device: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunDir]:
    """Train for a few steps with some settings of the model; everything else, the seed too, is always the same."""
    folder = tmp_path_factory.mktemp("work") / "runs"

    def trained(lr: float = 1e-2, threshold: Any = "validation", **model: Any) -> RunDir:
        settings = {"name": "sa2va", "lora": {"r": 4, "alpha": 8, "dropout": 0.1}, "loss": {"points": 256}}
        values = {
            "name": "tiny",
            "model": settings | model,
            "data": {"options": {"images": 12, "size": 64, "per_group": 2}},
            "train": {"steps": 12, "batch_size": 2, "lr": lr, "device": "cpu", "zero_stage": 0, "seed": 1},
            "evaluation": {"threshold": threshold},
        }
        run = train(validate_recipe(values, catalogue), catalogue, folder, Silent())
        assert run is not None
        return run

    return trained


@pytest.fixture(scope="module")
def from_nothing(trained: Any, catalogue: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a run that trained everything from random weights."""
    return export(trained(), tmp_path_factory.mktemp("exports") / "out", catalogue, Silent())


@pytest.fixture(scope="module")
def two_rates(trained: Any, shared: Path, catalogue: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The exports of two trainings of one base that differ in their learning rate alone."""
    folder = tmp_path_factory.mktemp("exports")
    runs = [trained(lr=lr, size="auto", weights=[str(shared)]) for lr in (1e-2, 2e-2)]
    return [export(run, folder / str(number), catalogue, Silent()) for number, run in enumerate(runs)]


@pytest.fixture(scope="module")
def full(trained: Any, shared: Path) -> RunDir:
    """A run whose stored masks are all full."""
    return trained(threshold=1e-6, size="auto", weights=[str(shared)])


@pytest.fixture(scope="module")
def unusual(trained: Any, shared: Path) -> RunDir:
    """A run with settings that are not the defaults and change its predictions."""
    return trained(size="auto", weights=[str(shared)], masks="single", resize="squash", max_tiles=3)


@pytest.fixture
def base(make_module: Make, make_config: Any, tmp_path: Path) -> Path:
    """A small model as a released folder."""
    folder = tmp_path / "base"
    folder.mkdir()
    write_merged(make_module(seed=7), make_config(), folder, IDS)
    return folder


@pytest.fixture
def tune(base: Path, make_config: Any) -> Callable[..., tuple[Sa2VAModule, Sa2VAConfig]]:
    """The base with an adapter whose trained parameters have moved."""

    def tune(**values: Any) -> tuple[Sa2VAModule, Sa2VAConfig]:
        config = make_config(**{"size": "auto", "weights": [str(base)], **values})
        module = build(config).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        return module, config

    return tune


def _predictor(recipe: Recipe, catalogue: Any) -> Predictor:
    module = build_model(recipe, TASK, catalogue).eval()
    plugin, config = model_settings(recipe, catalogue)
    return Predictor(module, plugin.collator(config, TASK), torch.device("cpu"), "fp32", "")


def _weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.relative_to(folder).as_posix(): load_file(path) for path in folder.rglob("*.safetensors")}


def test_two_trainings_of_one_base_differ_in_what_was_trained_and_in_nothing_else(two_rates: list[Path]) -> None:
    one, other = (_weights(folder) for folder in two_rates)
    assert one.keys() == other.keys()
    assert len(one) == 3
    equal: dict[str, set[str]] = {}
    for name, tensors in one.items():
        assert tensors.keys() == other[name].keys()
        equal[name] = {key for key, tensor in tensors.items() if torch.equal(tensor, other[name][key])}
    assert equal.pop("adapter/adapter_model.safetensors") == set()
    unreached = {key for key in equal.pop("adapter/other_trained.safetensors") if "mask_decoder" not in key}
    assert unreached == set()
    merged = equal.pop("merged/model.safetensors")
    keys = one["merged/model.safetensors"].keys()
    adapted = {key for key in keys if ADAPTED.search(key)}
    assert len(adapted) == 7 * 2
    assert adapted & merged == set()
    base = {key for key in keys if FROZEN.search(key)}
    assert len(base) > len(keys) / 3
    assert base <= merged


@pytest.mark.parametrize("stored", ["mixed", "full"])
def test_a_merge_that_loses_the_adapters_stops_the_export_whatever_the_stored_mask(
    stored: str, full: RunDir, unusual: RunDir, catalogue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never:
        """Nothing is an instance of it, so no layer counts as adapted."""

    run = {"mixed": unusual, "full": full}[stored]
    export(run, tmp_path / "whole", catalogue, Silent())
    assert ("weak" in (tmp_path / "whole" / "README.md").read_text()) == (stored == "full")
    monkeypatch.setattr(merged_module, "LoraLayer", Never)
    with pytest.raises(UserError, match=r"14 of 14 adapted weights in .*merged are not those of peft's own merging"):
        export(run, tmp_path / "broken", catalogue, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_the_merged_folder_opened_as_the_card_says_predicts_what_the_run_predicts(
    unusual: RunDir, catalogue: Any, tmp_path: Path, make_example: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = export(unusual, tmp_path / "out", catalogue, Silent())
    card = (to / "README.md").read_text()
    command = re.search(r"^vesselbench train (\S+) (.+)$", card, re.MULTILINE)
    assert command is not None
    monkeypatch.chdir(to)
    recipe, _ = load_recipe(command[1], catalogue, overrides=command[2].split())
    stated = {key: recipe.model[key] for key in ("masks", "resize", "max_tiles", "answer", "dtype", "prompts")}
    assert all(f"model.{key}={value}" in command[2].split() for key, value in stated.items())
    example = make_example(3, (40, 64))
    (wanted,) = load_predictor(unusual, catalogue, "cpu")([example])
    opened = _predictor(recipe, catalogue)
    (found,) = opened([example])
    assert abs(found.probability - wanted.probability).max() < 1e-5
    assert len(opened.collate([example])["tiles"]) == 3  # two and the thumbnail
    for forgotten in ("masks", "resize"):
        default = Sa2VAConfig.model_fields[forgotten].default
        other, _ = load_recipe(command[1], catalogue, overrides=[*command[2].split(), f"model.{forgotten}={default}"])
        (unlike,) = _predictor(other, catalogue)([example])
        assert abs(unlike.probability - wanted.probability).max() > 1e-5, forgotten


def test_settings_that_the_released_code_does_not_have_stand_under_limits_and_in_its_config(
    unusual: RunDir, catalogue: Any, tmp_path: Path
) -> None:
    to = export(unusual, tmp_path / "out", catalogue, Silent())
    limits = (to / "README.md").read_text().split("\n## Limits\n")[1].split("\n## ")[0]
    assert "`masks: single`" in limits
    assert "`resize: pad`" not in limits
    assert "Trained with 3 tiles" in limits
    assert json.loads((to / "merged" / "config.json").read_text())["max_dynamic_patch"] == 3


def test_an_export_of_everything_trained_from_random_weights_says_what_it_lacks(from_nothing: Path) -> None:
    card = (from_nothing / "README.md").read_text()
    assert "0 of 157 tensors, because the base has none" in card
    assert "no Python files" in card
    assert "Everything was trained" in card
    assert "loads in vesselbench only" in card
    assert "gives every tensor of `merged/` bit for bit" in card
    assert "14 of 14 differ from the base's" in card
    assert "weak" not in card
    assert "`masks: single`" not in card
    checks = json.loads((from_nothing / "export.json").read_text())["checks"]
    assert [check["form"] for check in checks] == ["merged/", "adapter/ on the base"]
    assert checks[1]["difference"] == 0


def test_the_merged_folder_states_the_shape_and_the_tokens_of_the_run(from_nothing: Path) -> None:
    tiny = Sa2VAConfig()
    config = merged_config(tiny, from_nothing / "merged")
    found, wanted = shape_of(config), shape_of(tiny)
    assert (found.vision, found.language, found.sam) == (wanted.vision, wanted.language, wanted.sam)
    assert (found.tokens.seg, found.tokens.image, found.max_tiles) == (wanted.tokens.seg, wanted.tokens.image, 1)
    _, collate = open_merged(tiny, from_nothing / "merged")
    text = "<|im_start|>user\n<IMG_CONTEXT>Blood vessel ß<|im_end|>\n[SEG].</vp>"
    assert collate.tokenizer.encode(text).ids == tiny_tokenizer().encode(text).ids


@pytest.mark.parametrize("tokens", ["lean", "official"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapter_and_other_parts_on_the_base_are_the_merged_weights(
    tokens: str, dtype: str, tune: Any, tmp_path: Path
) -> None:
    module, config = tune(lora={"r": 4, "alpha": 8, "dropout": 0, "tokens": tokens}, dtype=dtype)
    adapters, others = write_adapter(module, tmp_path / "adapter")
    assert adapters == 2 * 7 * module.shape.language.layers + (2 if tokens == "official" else 0)
    held = load_file(tmp_path / "adapter" / "other_trained.safetensors")
    assert others == len(held)
    assert ({"new_embedding.weight", "new_head.weight"} <= held.keys()) == (tokens == "lean")
    assert {name.split(".")[0] for name in held} >= {"text_hidden_fcs", "sam", "vlm"}
    (tmp_path / "merged").mkdir()
    write_merged(module, config, tmp_path / "merged", IDS)
    again = build(config)
    load_adapter(again, tmp_path / "adapter")
    assert compare_tensors(again, tmp_path / "merged") == len(open_archive(tmp_path / "merged").shapes)
    with pytest.raises(UserError, match=r"differ from .*merged at \d+ of \d+ tensors, most at "):
        compare_tensors(build(config), tmp_path / "merged")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21 asks for it
@pytest.mark.parametrize("tokens", ["lean", "official"])
def test_peft_loads_the_adapter_on_transformers_own_model(tokens: str, tune: Any, tmp_path: Path) -> None:
    module, _ = tune(lora={"r": 4, "alpha": 8, "dropout": 0, "tokens": tokens})
    write_adapter(module, tmp_path / "adapter")
    plain = build_internvl(module.shape)
    vlm = {name.removeprefix("vlm."): full for name, full in merged_names(module).items() if name.startswith("vlm.")}
    state = dict(module.named_parameters())
    originals = {
        name: state[full.replace(".modules_to_save.default.", ".original_module.")] for name, full in vlm.items()
    }
    plain.load_state_dict(originals)
    loaded = PeftModel.from_pretrained(plain, tmp_path / "adapter").merge_and_unload()
    changed = 0
    for name, tensor in loaded.state_dict().items():
        if name in vlm and "embed_tokens" not in name and "lm_head" not in name:
            assert torch.equal(tensor, merged_tensor(module, vlm[name])), name
            changed += not torch.equal(tensor, originals[name])
    assert changed == 7 * module.shape.language.layers
    for name in ("lm_head.weight", "model.language_model.embed_tokens.weight"):
        if tokens == "official":
            assert torch.equal(loaded.state_dict()[name], merged_tensor(module, vlm[name]))


def test_an_adapter_that_never_moved_stops_the_export_with_its_names(
    base: Path, make_config: Any, tmp_path: Path
) -> None:
    module = build(make_config(size="auto", weights=[str(base)]))
    with pytest.raises(UserError, match=r"14 adapter tensors are all zero.*down_proj\.lora_B") as caught:
        write_adapter(module, tmp_path / "adapter")
    assert "no gradient has reached them" in caught.value.hint
    assert not list(tmp_path.rglob("adapter_model*"))


@pytest.mark.parametrize("fault", [float("nan"), "empty"])
def test_a_damaged_trained_tensor_stops_the_export_with_its_name(fault: Any, tune: Any, tmp_path: Path) -> None:
    module, _ = tune()
    layer = module.text_hidden_fcs[2]
    if fault == "empty":
        layer.bias = torch.nn.Parameter(torch.zeros(0))
    else:
        layer.bias.data[0] = fault
    with pytest.raises(UserError, match=r"text_hidden_fcs\.2\.bias"):
        write_adapter(module, tmp_path / "adapter")


def test_an_adapter_of_another_recipe_is_refused_with_the_names(tune: Any, tmp_path: Path) -> None:
    module, _ = tune(lora={"r": 4, "tokens": "lean"})
    write_adapter(module, tmp_path / "adapter")
    other, _ = tune(lora={"r": 4, "tokens": "official"})
    with pytest.raises(UserError, match=r"2 missing \(.*embed_tokens"):
        load_adapter(other, tmp_path / "adapter")


def test_the_base_lends_its_memory_of_videos_its_code_and_its_other_settings(
    base: Path, tune: Any, tmp_path: Path
) -> None:
    tensors = load_file(base / "model.safetensors")
    memory = {
        f"{SAM}no_obj_ptr": torch.full((1, 4), 0.5),
        f"{SAM}memory_encoder.fuser.layers.0.g_weight": torch.ones(3),
        f"{SAM}no_obj_embed_spatial": torch.ones(1),
    }
    save_file(tensors | memory, base / "model.safetensors")
    (base / "modeling_sa2va_chat.py").write_text("# the base's own\n")
    config_file = base / "config.json"
    held = json.loads(config_file.read_text())
    held["llm_config"]["rope_scaling"] = {"type": "dynamic", "factor": 2.0}
    config_file.write_text(json.dumps(held))
    module, config = tune()
    folder = tmp_path / "merged"
    folder.mkdir()
    lines = write_merged(module, config, folder, IDS)
    written = load_file(folder / "model.safetensors")
    assert written.keys() == tensors.keys() | {key for key in memory if "spatial" not in key}
    assert torch.equal(written[f"{SAM}no_obj_ptr"], memory[f"{SAM}no_obj_ptr"])
    assert any("2 of 157" in line for line in lines)
    assert any("1 memory tensors of SAM 2.1 left out" in line for line in lines)
    assert json.loads((folder / "config.json").read_text()) == held


def test_an_export_of_an_adapter_on_a_base_reproduces_it_through_the_own_import(
    tune: Any, tmp_path: Path, make_example: Any, make_batch: Any
) -> None:
    module, config = tune()
    folder = tmp_path / "merged"
    folder.mkdir()
    write_merged(module, config, folder, IDS)
    again = build(merged_config(config, folder)).eval()
    batch = make_batch([make_example(3)], config)
    torch.testing.assert_close(again.predict(batch)[0], module.predict(batch)[0], atol=2e-5, rtol=0)
    start = build(config).eval()
    assert (start.predict(batch)[0] - module.predict(batch)[0]).abs().max() > 1e-3
