"""Blocks of a model that ZeRO-3 gathers at once instead of layer by layer, and what their gradients need."""

from __future__ import annotations

from typing import Any

import torch

from vesselbench.hookspecs import ModelPlugin

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


def mark_leaves(deepspeed: Any, step: torch.nn.Module, plugin: ModelPlugin) -> None:
    """Mark the blocks that the plugin declares (`leaf_modules`), outermost ones; call it before DeepSpeed's start.

    That takes a third to a half of ZeRO-3's time in Python at tiny sizes.
    """
    declared = tuple(plugin.leaf_modules()) if hasattr(plugin, "leaf_modules") else ()
    leaves = outermost(step, declared)
    if not leaves:
        return
    deepspeed.utils.set_z3_leaf_modules(step, list({type(leaf) for leaf in leaves}))
    for leaf in leaves:
        if any(parameter.requires_grad for parameter in leaf.parameters()):
            leaf.register_forward_pre_hook(reach_back, with_kwargs=True)


def outermost(module: torch.nn.Module, kinds: tuple[type, ...]) -> list[torch.nn.Module]:
    """The modules of exactly these classes that lie in no other one of them."""
    if type(module) in kinds:
        return [module]
    return [leaf for child in module.children() for leaf in outermost(child, kinds)]


def reach_back(leaf: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Inputs | None:
    """A forward pre-hook: the inputs of a trained leaf, at least one of which gets a gradient.

    DeepSpeed takes the gradients of a leaf's parameters when those of its inputs are complete (torch's full backward
    hook). Where no input gets one (the first block of a net, fed with the image) torch calls that hook before the
    leaf's backward pass: gradients of zero are taken, and the real ones come too late. So the inputs get one, which
    nobody reads. The hook sees positional inputs only; RuntimeError where there is no such tensor.
    """
    if not torch.is_grad_enabled():
        return None
    tensors = [value for value in args if isinstance(value, torch.Tensor) and value.is_floating_point()]
    if any(tensor.requires_grad for tensor in tensors):
        return None
    if not tensors:
        raise RuntimeError(
            f"{type(leaf).__name__} is declared as a leaf of ZeRO-3, but called without a positional tensor: its "
            "gradients would be lost. Leave it out of `leaf_modules`, or pass its input by position"
        )
    opened = (value.detach().requires_grad_() if any(value is one for one in tensors) else value for value in args)
    return tuple(opened), kwargs
