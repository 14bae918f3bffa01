"""Which released model a file seems to belong to, by the shapes of its keys alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vesselbench import UserError
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.layouts import LAYOUTS
from vesselbench_sa2va.misfit import SUPPORTED, kin_of
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import plain
from vesselbench_sa2va.sizes import SIZES
from vesselbench_sa2va.weights import find_sources

TRAINING = LAYOUTS[0][1]


@dataclass
class Listed:
    """An archive of which only keys and shapes are known."""

    shapes: dict[str, tuple[int, ...]]
    path: Path = Path("iter_500.pth")
    files: list[Path] = field(default_factory=list)

    def read(self, key: str) -> Tensor:
        raise AssertionError(f"{key} was read")


def skeleton(size: str, rank: int = 64) -> Sa2VAModule:
    config = Sa2VAConfig.model_validate({"size": size, "freeze": "official", "lora": {"r": rank}})
    with torch.device("meta"):
        return Sa2VAModule(SIZES[size], config, frozen=True)


def training_shapes(module: Sa2VAModule) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the file that the official trainer would write of a model."""
    named = {plain(name): tuple(parameter.shape) for name, parameter in module.named_parameters()}
    return {TRAINING.find(n, {}).keys[0]: shape for n, shape in named.items() if TRAINING.holds.search(n)}


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch):
    """The error of a listed file that is laid on a module."""

    def refuse(shapes: dict[str, tuple[int, ...]], module: Sa2VAModule) -> UserError:
        monkeypatch.setattr("vesselbench_sa2va.weights.open_archive", lambda path: Listed(shapes, path))
        with pytest.raises(UserError) as caught:
            find_sources(module, [Path("iter_500.pth")], 5)
        return caught.value

    return refuse


def test_prompts_of_width_6144_against_3584_belong_to_26b(refuse):
    eight = skeleton("8b")
    shapes = training_shapes(eight)
    shapes |= {"text_hidden_fcs.0.weight": (6144, 6144), "text_hidden_fcs.0.bias": (6144,)}
    shapes |= {"text_hidden_fcs.2.weight": (256, 6144)}
    shapes = {key: shape for key, shape in shapes.items() if "embed_tokens" not in key}
    error = refuse(shapes, eight)
    assert "text_hidden_fcs.0.weight (6144, 6144) against (3584, 3584)" in error.message
    assert "text_hidden_fcs.2.weight (256, 6144) against (256, 3584)" in error.message
    assert "3 of another shape" in error.message
    assert error.hint == (
        "by its width 6144 the file belongs to InternVL2.5-26B (InternLM2, which is not supported); "
        "use a file of the model you build"
    )


@pytest.mark.parametrize(("theirs", "ours"), [("1b", "2b"), ("2b", "1b"), ("8b", "2b"), ("14b", "8b")])
def test_a_file_of_another_size_is_told_by_width_and_layers(theirs, ours, refuse):
    error = refuse(training_shapes(skeleton(theirs)), skeleton(ours))
    assert f"set model.size={theirs} and the weights of that model" in error.hint
    assert f"InternVL3-{theirs.upper()}" in error.hint


def test_a_file_of_another_lora_rank_gives_its_rank(refuse):
    error = refuse(training_shapes(skeleton("1b", rank=128)), skeleton("1b", rank=64))
    assert error.hint == "set model.lora.r=128, the rank of the file"
    assert "336 of another shape" in error.message  # 24 layers, 7 linears, A and B


def test_a_file_of_the_right_model_with_a_key_too_few_is_not_said_to_be_another(refuse):
    module = skeleton("1b")
    shapes = training_shapes(module)
    gone = next(key for key in shapes if "layers.3.mlp.up_proj.lora_A" in key)
    error = refuse({key: shape for key, shape in shapes.items() if key != gone}, module)
    assert f"1 keys missing: {gone}" in error.message
    assert error.hint == "check model.size, model.lora and the file"


def test_equal_widths_are_told_apart_by_their_layers():
    key, layer = "text_hidden_fcs.0.weight", "language_model.model.layers.{}.mlp.up_proj.weight"
    assert len(kin_of({key: (2048, 2048)})) == 2
    assert [kin.models for kin in kin_of({key: (2048, 2048), layer.format(35): (1, 1)})] == ["InternVL2.5-4B"]
    assert [kin.models for kin in kin_of({key: (5120, 5120), layer.format(47): (1, 1)})] == ["InternVL3-14B"]
    assert kin_of({key: (64, 64)}) == []


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("language_model.model.layers.0.attention.wqkv.weight", "InternLM2"),
        ("language_model.model.layers.0.self_attn.qkv_proj.weight", "Phi-3"),
        ("model.visual.blocks.0.attn.qkv.weight", "Qwen-VL"),
        ("vision_model.encoder.layers.0.attn.q_norm.weight", "InternViT-6B"),
    ],
)
def test_networks_that_cannot_be_built_are_named_with_what_can(key, kind, refuse):
    error = refuse({key: (8, 8), "grounding_encoder.sam2_model.no_mem_embed": (1, 1, 256)}, skeleton("tiny"))
    assert f"{key} is a key of {kind}" in error.hint
    assert error.hint.endswith(SUPPORTED)
