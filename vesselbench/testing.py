"""For authors of plugins: tiny data, and a check that a model keeps the harness's rules."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from vesselbench.data.loader import make_batch
from vesselbench.evaluation.predict import to_predictions
from vesselbench.hookspecs import ModelPlugin
from vesselbench.plugins import is_trained
from vesselbench.types import Batch, Example, Sample, Size, Task


def tiny_examples(count: int = 2, size: Size = (64, 64), empty: bool = False, seed: int = 0) -> list[Example]:
    """Grey images of `size` with one dark, wavy stripe each (none when `empty`), made in memory."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    examples = []
    for index in range(count):
        centre = size[0] * random.uniform(0.3, 0.7) + 3 * np.sin(columns / random.uniform(4, 9))
        mask = np.zeros(size, bool) if empty else np.abs(rows - centre) < random.uniform(2, 4)
        grey = np.clip(random.normal(150, 12, size) - 60 * mask, 0, 255).astype(np.uint8)
        name = f"tiny-{seed}-{index}"
        sample = Sample(id=name, image=Path(f"{name}.png"), mask=(), group=name)
        examples.append(Example(sample, np.repeat(grey[..., None], 3, axis=2), mask))
    return examples


def check_model(plugin: ModelPlugin, config: BaseModel | None = None, size: Size = (64, 64)) -> None:
    """Build a model and hold it to the rules of docs/add-a-model.md; AssertionError says which one it breaks.

    Two unlike batches (one whose masks are empty) must give the same loss keys, finite values, a gradient for every
    trainable parameter, and probabilities at the images' own sizes. The loss of a batch must be the mean of those of
    its samples (without dropout): else it would matter which of them share a micro-batch or a process.

    Of a model with nothing to train: every one of its `choices` is complete, has no trainable parameter, states itself
    in persistent buffers of its own, and draws as above.
    """
    task = Task(("vessel",))
    config = plugin.Config() if config is None else config
    if not is_trained(plugin):
        _check_choices(plugin, config, task, size)
        return
    module = plugin.build(config, task)
    collate = plugin.collator(config, task)
    learn = plugin.training_collator(config, task) if hasattr(plugin, "training_collator") else collate
    pickle.dumps(learn)  # as loader workers receive it
    batches = [tiny_examples(2, size), tiny_examples(2, size, empty=True, seed=1)]
    keys = [_check_loss(plugin.name, module, make_batch(examples, learn)) for examples in batches]
    assert keys[0] == keys[1], f"{plugin.name}: loss keys differ between batches: {keys[0]} and {keys[1]}"
    _check_mean(plugin.name, module, [*tiny_examples(1, size), *tiny_examples(1, size, empty=True, seed=1)], learn)
    _check_prediction(
        plugin.name, module, [*tiny_examples(1, size), *tiny_examples(1, (size[0] + 6, size[1] - 10))], collate
    )


def _check_choices(plugin: ModelPlugin, config: BaseModel, task: Task, size: Size) -> None:
    name, choices = plugin.name, list(plugin.choices(config))  # type: ignore[attr-defined]
    assert choices, f"{name}: choices() gives none"
    stated = config.model_dump(exclude_unset=True)
    seen: list[dict[str, torch.Tensor]] = []
    for choice in choices:
        unlike = {key for key, value in stated.items() if value is not None and choice.model_dump()[key] != value}
        assert not unlike, f"{name}: a choice changes {sorted(unlike)}, which the settings state"
        assert list(plugin.choices(choice)) == [choice], f"{name}: choices() of {choice} are others than itself"  # type: ignore[attr-defined]
        module, collate = plugin.build(choice, task), plugin.collator(choice, task)
        pickle.dumps(collate)
        trainable = [key for key, parameter in module.named_parameters() if parameter.requires_grad]
        assert not trainable, f"{name} has nothing to train, but {trainable[:5]} are trainable"
        state = module.state_dict()
        assert state, f"{name}: {choice} is in no persistent buffer: its weights file would be empty"
        same = any(
            state.keys() == one.keys() and all(torch.equal(state[key], one[key]) for key in state) for one in seen
        )
        assert not same, f"{name}: the buffers of {choice} are those of another choice"
        seen.append(state)
        pair = [*tiny_examples(1, size), *tiny_examples(1, (size[0] + 6, size[1] - 10), empty=True, seed=1)]
        _check_prediction(name, module, pair, collate)


def _check_loss(name: str, module: torch.nn.Module, batch: Batch) -> list[str]:
    module.train()
    module.zero_grad(set_to_none=True)
    losses: dict[str, torch.Tensor] = module.loss(batch)  # type: ignore[operator]
    assert "loss" in losses, f"{name}: loss() gives no 'loss' but {sorted(losses)}"
    for key, value in losses.items():
        assert value.ndim == 0, f"{name}: {key} is no scalar but {tuple(value.shape)}"
        assert bool(torch.isfinite(value)), f"{name}: {key} is {value.item()}"
        assert key == "loss" or not value.requires_grad, f"{name}: {key} must be detached"
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    trainable = [(key, parameter) for key, parameter in module.named_parameters() if parameter.requires_grad]
    assert trainable, f"{name}: nothing is trainable"
    idle = [key for key, parameter in trainable if parameter.grad is None]
    assert not idle, f"{name}: no gradient reaches {idle[:5]} ({len(idle)} in all); multiply by 0 rather than branch"
    return sorted(losses)


def _check_mean(name: str, module: torch.nn.Module, examples: list[Example], collate: Any) -> None:
    module.eval()
    with torch.no_grad():
        batches = [make_batch(some, collate) for some in (examples, examples[:1], examples[1:])]
        whole, first, second = (float(module.loss(batch)["loss"]) for batch in batches)  # type: ignore[operator]
    mean = (first + second) / 2
    assert abs(whole - mean) <= 1e-4 * abs(mean), (
        f"{name}: the loss of two samples is {whole}, the mean of theirs {mean}; take means over samples, and draw "
        "what is random from each example's seed"
    )


def _check_prediction(name: str, module: torch.nn.Module, examples: list[Example], collate: Any) -> None:
    module.eval()
    module.zero_grad(set_to_none=True)
    batch = make_batch(examples, collate)
    with torch.no_grad():
        try:
            predictions = to_predictions(batch, module.predict(batch))  # type: ignore[operator]
        except ValueError as error:
            raise AssertionError(f"{name}: {error}") from None
    for prediction in predictions:
        low, high = float(prediction.probability.min()), float(prediction.probability.max())
        assert 0 <= low <= high <= 1, f"{name}: probabilities from {low} to {high}"
    assert all(parameter.grad is None for parameter in module.parameters()), f"{name}: predict() left gradients"
