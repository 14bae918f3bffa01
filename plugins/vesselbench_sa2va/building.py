"""From settings to the module and the tokenizer; every setting that cannot be met is refused here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from vesselbench import UserError
from vesselbench_sa2va.agreement import Differences, adopted, dimensions_apart, fitting_sizes, values_apart
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.direct import FeedForward
from vesselbench_sa2va.drawn import draw_weights
from vesselbench_sa2va.hiera import HieraBlock
from vesselbench_sa2va.internvit import VisionLayer
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.qwen2 import LanguageLayer
from vesselbench_sa2va.release import has_language, refuse_unknown_folders, shape_from
from vesselbench_sa2va.sizes import SIZES, Shape
from vesselbench_sa2va.tokens import read_tokenizer, tiny_tokenizer
from vesselbench_sa2va.weights import fill as fill_from
from vesselbench_sa2va.weights import find_sources, leave_whole

log = logging.getLogger("vesselbench.sa2va")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def shape_of(config: Sa2VAConfig) -> Shape:
    """The dimensions of a size; for auto those of the first folder of weights that states them.

    What a folder states beside the dimensions (`agreement.FREE`) also holds for a named size. Raises UserError when its
    dimensions are other ones.
    """
    folders = _described(config)
    if config.size == "auto" and not folders:
        raise UserError("model.size: auto needs a folder with a config.json in model.weights", "or set model.size=8b")
    shape = shape_from(folders[0]) if config.size == "auto" else SIZES[config.size]
    for folder in folders:
        stated = shape_from(folder)
        apart = dimensions_apart(shape, stated)
        if apart:
            raise _other_size(config, folder, apart, fitting_sizes(stated))
        shape = adopted(shape, stated) if folder == folders[0] else shape
    return shape


def _described(config: Sa2VAConfig) -> list[Path]:
    return [path for path in config.weights if has_language(path)]


def _other_size(config: Sa2VAConfig, folder: Path, apart: Differences, fitting: list[str]) -> UserError:
    first = ", ".join(f"{name} {stated} instead of {ours}" for name, (stated, ours) in list(apart.items())[:8])
    more = f" and {len(apart) - 8} more" if len(apart) > 8 else ""
    cure = f"set model.size={(fitting or ['auto'])[0]}"
    if config.size == "auto":
        cure = "name weights of one model: the first folder decides"
    return UserError(f"model.size is {config.size}, but {folder} states another model: {first}{more}", cure)


def _tell_adopted(config: Sa2VAConfig) -> None:
    """Say which values of a named size were replaced by those of the weights, and that the recipe sets other tiles."""
    folders = _described(config)
    if not folders:
        return
    stated = shape_from(folders[0])
    if config.max_tiles not in (None, stated.max_tiles):
        log.warning("model.max_tiles=%s: %s states %s", config.max_tiles, folders[0] / "config.json", stated.max_tiles)
    apart = {} if config.size == "auto" else values_apart(SIZES[config.size], stated)
    if apart:
        listed = ", ".join(f"{name} {stated} instead of {ours}" for name, (stated, ours) in apart.items())
        log.warning(
            "model.size=%s: %d of its values are those of %s: %s",
            config.size,
            len(apart),
            folders[0] / "config.json",
            listed,
        )


def build_shape(config: Sa2VAConfig) -> Sa2VAModule:
    """The modules with random weights, on the current default device; ready to learn where none are to be loaded."""
    module = Sa2VAModule(shape_of(config), config, config.frozen)
    if not config.weights:
        draw_weights(module)
    return module


def _able_to_write(module: Sa2VAModule, config: Sa2VAConfig) -> Sa2VAModule:
    if config.answer == "generated":
        module.tokenizer = tokenizer_for(config)
    return module


def refuse_unmet(config: Sa2VAConfig) -> None:
    """Raise UserError for a size without weights, and for folders of another model."""
    if not config.weights and config.size != "tiny":
        raise UserError(
            f"model.size: {config.size} needs weights; with random ones it would learn nothing in any usual time",
            "set model.weights to a folder of released weights, or model.size=tiny",
        )
    refuse_unknown_folders(config.weights)


def skeleton(config: Sa2VAConfig) -> Sa2VAModule | None:
    """The module on the meta device, for `fill`; None when it has no base weights: random ones are drawn at once.

    Raises UserError for settings that cannot be met.
    """
    refuse_unmet(config)
    if not config.weights:
        return None
    _tell_adopted(config)
    with torch.device("meta"):
        return _able_to_write(build_shape(config), config)


def fill(module: Sa2VAModule, config: Sa2VAConfig, settle: Callable[[nn.Parameter], None]) -> None:
    """Give a skeleton its weights, tensor by tensor in a fixed order; each parameter is settled as soon as it has its.

    Raises UserError when the files do not hold the weights of this model.
    """
    sources = find_sources(module, config.weights, len(module.shape.tokens.new))
    fill_from(module, sources, DTYPES[config.dtype], settle)


def build(config: Sa2VAConfig) -> Sa2VAModule:
    """The module that a recipe describes, with its weights. Raises UserError for settings that cannot be met."""
    module = skeleton(config)
    if module is None:
        return _able_to_write(build_shape(config), config)
    fill(module, config, leave_whole)
    return module


def tokenizer_for(config: Sa2VAConfig) -> Tokenizer:
    """The tokenizer of the size: its own for tiny, else that of model.tokenizer or of the weights' folder."""
    if config.size == "tiny" and config.tokenizer is None:
        return tiny_tokenizer()
    folder = config.tokenizer or next(
        (path for path in config.weights if (path / "tokenizer_config.json").is_file()), None
    )
    if folder is None:
        raise UserError("no tokenizer in model.weights", "set model.tokenizer to the folder of a tokenizer")
    return read_tokenizer(folder, shape_of(config))


def leaf_modules() -> list[type]:
    """Transformer blocks and small perceptrons of all three networks.

    SAM's two-way block is not among them: as a leaf of ZeRO-3 its weights are released before their backward pass.
    """
    return [VisionLayer, LanguageLayer, HieraBlock, FeedForward]
