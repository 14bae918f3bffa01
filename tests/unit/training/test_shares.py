"""What is read of DeepSpeed's private names is what its public functions give, at every stage and precision."""

from __future__ import annotations

import pytest
import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_grad, safe_get_full_optimizer_state

from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import Engine
from vesselbench.training.shares import inner_optimizer, local_gradient, shares_of


def build(catalogue, dataset, device, stage: int, precision: str) -> Engine:
    train = {"steps": 2, "batch_size": 2, "device": "cpu", "zero_stage": stage, "precision": precision}
    values = {"name": "x", "model": {"name": "unet", "channels": [4, 8]}, "train": train}
    return Engine.build(validate_recipe(values, catalogue), dataset.task, catalogue, device)


@pytest.mark.parametrize(
    ("stage", "precision"), [(1, "fp32"), (1, "bf16"), (2, "fp32"), (2, "bf16"), (3, "fp32"), (3, "bf16")]
)
def test_weights_gradients_and_moments_are_those_of_deepspeeds_public_functions(
    stage, precision, catalogue, dataset, device
):
    engine = build(catalogue, dataset, device, stage, precision)
    shares = shares_of(engine.engine, engine.module)
    assert list(shares) == [name for name, p in engine.module.named_parameters() if p.requires_grad]
    compared = []

    def compare_gradients() -> None:
        for name, share in shares.items():
            theirs = safe_get_full_grad(share.parameter)
            assert torch.equal(local_gradient(engine.engine, share), theirs.float().reshape(-1)), name
            compared.append(name)

    for _, batches in engine.train_batches(dataset.of("train")):
        engine.train_step(batches, compare_gradients)
    assert len(compared) == 2 * len(shares)
    state = inner_optimizer(engine.engine).state
    for name, share in shares.items():
        assert torch.equal(share.master(), safe_get_full_fp32_param(share.parameter).reshape(-1)), name
        for moment in ("exp_avg", "exp_avg_sq"):
            mine = share.of(state[share.flat][moment])
            assert mine.any(), (name, moment)
            if stage == 3:  # below, DeepSpeed knows the moments by parameter only after loading its own checkpoint
                assert torch.equal(mine, safe_get_full_optimizer_state(share.parameter, moment).reshape(-1)), name
    engine.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_at_stage_0_the_optimizer_holds_each_parameter_itself_or_an_fp32_copy(precision, catalogue, dataset, device):
    engine = build(catalogue, dataset, device, 0, precision)
    for _, batches in engine.train_batches(dataset.of("train")):
        engine.train_step(batches)
    for name, share in shares_of(engine.engine, engine.module).items():
        assert share.everywhere, name
        assert share.master().dtype == torch.float32, name
        assert (share.flat is share.parameter) == (precision == "fp32"), name
        assert torch.equal(share.master().to(share.parameter.dtype), share.parameter.detach().reshape(-1)), name
        moment = inner_optimizer(engine.engine).state[share.flat]["exp_avg"]
        assert share.of(moment).any(), name
    engine.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_first_step_of_a_training_is_the_optimizers_first_and_moves_weights_by_the_rate(
    stage, precision, catalogue, dataset, device
):
    """AdamW's first update is the learning rate times the sign of the gradient, and the decay of that one step."""
    engine = build(catalogue, dataset, device, stage, precision)
    share = shares_of(engine.engine, engine.module)["net.features.model.0.conv.unit0.conv.weight"]
    before = share.master().clone()
    _, batches = next(engine.train_batches(dataset.of("train")))
    engine.train_step(batches)
    train = engine.budget.train
    moved = share.master() - before * (1 - engine.learning_rate * train.weight_decay)
    assert moved.abs().median().item() == pytest.approx(engine.learning_rate, rel=1e-3)
    assert int(inner_optimizer(engine.engine).state[share.flat]["step"]) == 1
    engine.close()
