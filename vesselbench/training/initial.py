"""How a model's weights come into the ranks: whole on each of them, or each tensor split as soon as it is read."""

from __future__ import annotations

from typing import Any

import torch

from vesselbench import distributed
from vesselbench.config import Recipe, TrainConfig
from vesselbench.data.loader import accumulation
from vesselbench.errors import UserError
from vesselbench.model import build_model, count_parts
from vesselbench.plugins import Catalogue, is_trained
from vesselbench.recipes import model_settings
from vesselbench.sharding import Settle, is_sharded, settle_plainly, splitter
from vesselbench.training.memory import LARGE, free_memory, lowest_stage
from vesselbench.training.settings import deepspeed_settings
from vesselbench.types import Task

ALTERNATIVE = "set train.init=plain, or auto"


def build_initial(
    recipe: Recipe, task: Task, catalogue: Catalogue, device: torch.device
) -> tuple[torch.nn.Module, int]:
    """The module with its first weights and the ZeRO stage it is for; split already where ``train.init`` says so.

    The engine's `import_deepspeed` was called before. The weights are those of the plugin's ``build``, bit for bit,
    whichever way they come in. Raises UserError when ``train.init`` is sharded and the stage or the model do not
    allow it, for a model with nothing to train, and for what `build_model` and `choose_stage` refuse.
    """
    train, (found, config) = recipe.train, model_settings(recipe, catalogue)
    if not is_trained(found):
        raise UserError(
            f"the model {found.name!r} has nothing to train: the validation set chooses its settings",
            f"vesselbench train {found.name}",
        )
    plugin: Any = found  # `skeleton` and `fill` are optional

    def make() -> torch.nn.Module:
        look = _may_split(train) and hasattr(plugin, "skeleton") and hasattr(plugin, "fill")
        skeleton: torch.nn.Module | None = plugin.skeleton(config, task) if look else None
        if skeleton is None:
            if train.init == "sharded":
                raise UserError(
                    f"train.init is sharded, but the model {plugin.name!r} with these settings is built whole: it has "
                    "no base weights to be read one tensor at a time",
                    ALTERNATIVE,
                )
            return found.build(config, task)
        settle = _settle_for(skeleton, train, device)
        plugin.fill(skeleton, config, settle)
        if settle is not settle_plainly:
            _move_buffers(skeleton, device)
            _refuse_unsettled(skeleton, plugin.name)
        return skeleton

    module = build_model(recipe, task, catalogue, make)
    split = any(is_sharded(parameter) for parameter in module.parameters())
    return module, 3 if split else choose_stage(module, train)


def choose_stage(module: torch.nn.Module, train: TrainConfig) -> int:
    """``train.zero_stage``; for auto the lowest stage that fits into the memory free on rank 0's machine and splits
    what ``train.offload`` names."""
    if train.zero_stage != "auto":
        return train.zero_stage
    parts = count_parts(module).values()
    total, trainable = sum(part[0] for part in parts), sum(part[1] for part in parts)
    available = free_memory(distributed.local_world())
    if torch.cuda.is_available() and train.device != "cpu":
        available = int(torch.cuda.mem_get_info()[0])
    fitting = lowest_stage(total - trainable, trainable, distributed.world(), train.precision, available)
    return distributed.from_first(max(fitting, train.least_stage))


def wants_split(module: torch.nn.Module, train: TrainConfig, stage: int) -> bool:
    """Whether the weights of a module that has none yet are to be split as they come in.

    ``train.init: auto`` says so at stage 3 on several processes for more than `LARGE` bytes of weights. Raises
    UserError when sharded is asked for at another stage.
    """
    if train.init == "sharded" and stage != 3:
        raise UserError(
            f"train.init is sharded, but at ZeRO stage {stage} every process holds the whole model",
            f"set train.zero_stage=3; or {ALTERNATIVE}",
        )
    width = 2 if train.precision == "bf16" else 4
    size = width * sum(parameter.numel() for parameter in module.parameters())
    return train.init == "sharded" or (train.init == "auto" and stage == 3 and distributed.world() > 1 and size > LARGE)


def _may_split(train: TrainConfig) -> bool:
    """Whether a look at the skeleton is needed: for 8B it costs seconds."""
    return train.init == "sharded" or (
        train.init == "auto" and train.zero_stage in ("auto", 3) and distributed.world() > 1
    )


def _settle_for(skeleton: torch.nn.Module, train: TrainConfig, device: torch.device) -> Settle:
    stage = choose_stage(skeleton, train)
    if not wants_split(skeleton, train, stage):
        return settle_plainly
    settings = deepspeed_settings(train, stage, *accumulation(train, distributed.world()), device)
    return splitter(settings, torch.bfloat16 if settings["bf16"]["enabled"] else None)


def _move_buffers(module: torch.nn.Module, device: torch.device) -> None:
    """DeepSpeed moves no buffer of a module whose parameters are split already."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device)


def _refuse_unsettled(module: torch.nn.Module, name: str) -> None:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    left = [key for key, tensor in tensors if tensor.is_meta]
    left += [key for key, parameter in module.named_parameters() if not is_sharded(parameter)]
    if left:
        raise RuntimeError(f"`fill` of the model {name!r} left {len(left)} tensors unsettled: {', '.join(left[:8])}")
