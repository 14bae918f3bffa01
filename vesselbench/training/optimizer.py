"""The optimizer of a recipe: which parameters it changes, how fast, and which of them decay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch

from vesselbench.config import TrainConfig
from vesselbench.errors import UserError
from vesselbench.sharding import whole_numel, whole_shape

MATRICES = (torch.nn.Linear, torch.nn.modules.conv._ConvNd, torch.nn.Bilinear, torch.nn.RNNBase)
TABLE = re.compile(r"embed|position|token|(^|_)bias|(^|_)cls|(^|_)pos(_|$)|(^|_)scale|gamma", re.IGNORECASE)
"""In the name of a bare parameter, or of the class that holds it: a table of embeddings or positions, a class token, a
layer's scale. (torch's attention holds its matrices bare too; they are called ``in_proj_weight``.)"""


def param_groups(
    module: torch.nn.Module, train: TrainConfig, part_of: Callable[[str], str] | None = None
) -> list[dict[str, Any]]:
    """What torch's optimizers take: one group for each learning rate, with and without decay; ``label`` describes it.

    `part_of` names the part of the model that a parameter belongs to, for ``train.lr_scale``; without it, the child of
    the module. Raises UserError when nothing is trainable and for a key of ``train.lr_scale`` that fits nothing.
    """
    bare = undecayed(module)
    names = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    if not names:
        raise UserError("no parameter of the model is trainable", "change the model's freeze settings")
    factors = scales(list(names), train.lr_scale, part_of or (lambda name: name.split(".", 1)[0]))
    members: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in names.items():
        members.setdefault((factors[name], name in bare), []).append(parameter)
    groups = []
    for (factor, is_bare), parameters in sorted(members.items(), key=lambda item: item[0]):
        decay = 0.0 if is_bare else train.weight_decay
        label = f"lr x {factor:g}, {'no decay' if is_bare else f'decay {decay:g}'}"
        groups.append({"params": parameters, "lr": train.lr * factor, "weight_decay": decay, "label": label})
    return groups


def undecayed(module: torch.nn.Module) -> set[str]:
    """Names of the parameters that get no weight decay: all of one dimension (biases, norms, layer scales), tables of
    embeddings and positions, class and mask tokens.

    Low-rank adapters are matrices and decay.
    """
    names = set()
    for prefix, part in module.named_modules():
        is_table = isinstance(part, torch.nn.Embedding) or TABLE.search(type(part).__name__) is not None
        for own, parameter in part.named_parameters(recurse=False):
            bare = not isinstance(part, MATRICES) and ((is_table and not _holds_others(part)) or TABLE.search(own))
            if bare or len(whole_shape(parameter)) <= 1:
                names.add(f"{prefix}.{own}" if prefix else own)
    return names


def _holds_others(part: torch.nn.Module) -> bool:
    return next(part.children(), None) is not None


def scales(names: list[str], wanted: dict[str, float], part_of: Callable[[str], str]) -> dict[str, float]:
    """The factor of each parameter's learning rate, by the keys of ``train.lr_scale``: parts or patterns."""
    factors = dict.fromkeys(names, 1.0)
    parts = {name: part_of(name) for name in names}
    for key, factor in wanted.items():
        fitting = [name for name in names if parts[name] == key or fnmatchcase(name, key)]
        if not fitting:
            known = ", ".join(dict.fromkeys(parts.values()))
            raise UserError(
                f"train.lr_scale: {key!r} fits no trained parameter",
                f"name a part ({known}) or a pattern such as '*bias'",
            )
        factors |= dict.fromkeys(fitting, factor)
    return factors


def make_optimizer(groups: list[dict[str, Any]], train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or SGD with Nesterov's momentum over the given groups.

    Plain torch: no operator is compiled; AdamW is torch's fused one, one pass over each tensor in the place of a dozen
    (0.9 instead of 4.0 ms for the 75 tensors of `unet` on one core).
    Each group notes how many parameters it has (``count``): ZeRO takes them away.
    """
    groups = [{**group, "count": sum(whole_numel(p) for p in group["params"])} for group in groups]
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=train.lr, momentum=train.momentum, nesterov=train.momentum > 0, weight_decay=train.weight_decay
        )
    decay = train.weight_decay
    return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, weight_decay=decay, fused=True)


def optimizer_lines(optimizer: torch.optim.Optimizer, train: TrainConfig, length: str) -> list[str]:
    """The optimizer, its groups and the course of the learning rate, in words, for the run's header."""
    kind = f"sgd, Nesterov momentum {train.momentum:g}" if train.optimizer == "sgd" else f"adamw, betas {train.betas}"
    clip = f"gradients clipped to norm {train.clip:g}" if train.clip else "gradients not clipped"
    lines = [
        f"optimizer {kind}; learning rate {train.lr:g}, warm-up {train.warmup:.0%} of {length}, then {train.schedule}; "
        f"{clip}"
    ]
    sizes: Counter[str] = Counter()
    for group in optimizer.param_groups:
        label = group.get("label", f"lr {group['lr']:g}, decay {group['weight_decay']:g}, by the model's plugin")
        sizes[label] += group["count"]
    lines.append("trained parameters: " + "; ".join(f"{size:,} ({label})" for label, size in sizes.items()))
    if train.ema:
        lines.append(
            f"validated, saved and scored is a moving average of the trained weights, decay {train.ema:g} per step"
        )
    return lines
