"""What one sample costs a model, by running it once: for every model that is small enough to be built here."""

from __future__ import annotations

from typing import Any

import torch

from vesselbench.benchmarking.flops import flop_counter
from vesselbench.config import Recipe
from vesselbench.data.read import read_samples
from vesselbench.model import batch_to, build_model
from vesselbench.planning.allocated import held_by
from vesselbench.planning.gathers import noting_gathers
from vesselbench.plugins import Catalogue
from vesselbench.precision import arithmetic_of, casting, weight_type
from vesselbench.recipes import model_settings
from vesselbench.training.feed import Feed
from vesselbench.types import Batch, Costs, Task, targets_of


def count_costs(recipe: Recipe, catalogue: Catalogue) -> tuple[torch.nn.Module, Costs]:
    """Forward and backward of one training sample on the processor, under torch's FLOP counter and hooks on what is
    saved for backward; then once more, under its record of allocations. Bytes are those of the recipe's precision.
    Checkpointing counts as the recipe sets it, and the plan then offers no other.
    """
    samples = read_samples(recipe.data, catalogue)
    task = Task(targets_of(samples))
    plugin, config = model_settings(recipe, catalogue)
    train = recipe.train.model_copy(update={"batch_size": 1, "micro_batch": 1, "workers": 0})
    feed = Feed.of(plugin, config, task, train)
    _, (batch,) = next(feed.batches(samples, 0, 1, 0, 1))
    module = build_model(recipe, task, catalogue)
    arithmetic, host = arithmetic_of(module, recipe.train.precision), torch.device("cpu")
    dtype = weight_type(arithmetic)
    module.to(dtype).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept)
    leaves = plugin.leaf_modules() if hasattr(plugin, "leaf_modules") else []
    with flop_counter() as forward, hooks, noting_gathers(module, leaves) as gathered, casting(arithmetic, host):
        loss = module.loss(batch_to(batch, host, dtype))["loss"]  # type: ignore[operator]
    with flop_counter() as backward:
        loss.backward()
    del loss
    module.zero_grad(set_to_none=True)

    def both_passes() -> None:
        inputs = batch_to(Batch(batch.ids, batch.sizes, copied(batch.inputs)), host, dtype)
        with casting(arithmetic, host):
            loss = module.loss(inputs)["loss"]  # type: ignore[operator]
        loss.backward()
        module.zero_grad(set_to_none=True)

    in_forward, in_backward = gathered.sizes
    return module, Costs(
        flops_forward=forward.get_total_flops(),
        flops_backward=backward.get_total_flops(),
        flops_again=0,
        activation_bytes=sum(saved.values()),
        checkpointed_bytes=None,
        logit_bytes=0,
        working_bytes=0,
        gathered_forward=in_forward,
        gathered_backward=in_backward,
        basis="counted in a forward and a backward pass of one training sample",
        blocks=held_by(both_passes),
    )


def copied(value: Any) -> Any:
    """Tensors of a nested value, anew: the batch is part of what a step holds."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return type(value)(copied(item) for item in value) if isinstance(value, list | tuple) else value
