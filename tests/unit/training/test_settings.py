from __future__ import annotations

import pytest
import torch

from vesselbench import UserError
from vesselbench.config import TrainConfig
from vesselbench.training.settings import accounting, deepspeed_settings, make_optimizer, param_groups

CPU = torch.device("cpu")


def a_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Embedding(5, 8), torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))


def test_norms_biases_and_embeddings_get_no_decay():
    model = a_model()
    groups = param_groups(model, 0.1)
    decayed = [p for group in groups if group["weight_decay"] for p in group["params"]]
    assert [tuple(p.shape) for p in decayed] == [(8, 8)]
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_frozen_parameters_reach_no_optimizer():
    model = a_model()
    model[0].requires_grad_(False)
    optimizer = make_optimizer(param_groups(model, 0.1), TrainConfig())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert id(model[0].weight) not in held
    assert len(held) == 4


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(UserError, match="trainable"):
        param_groups(a_model().requires_grad_(False), 0.1)


def test_raw_deepspeed_settings_are_merged_last():
    train = TrainConfig(deepspeed={"zero_optimization": {"reduce_bucket_size": 7}, "gradient_clipping": 0.5})
    settings = deepspeed_settings(train, 2, 4, 1, CPU)
    assert settings["zero_optimization"]["reduce_bucket_size"] == 7
    assert settings["zero_optimization"]["stage"] == 2
    assert settings["gradient_clipping"] == 0.5


def test_accounting_keeps_steps_samples_and_micro_batches_apart():
    train = TrainConfig(steps=459, batch_size=32, micro_batch=1)
    lines = accounting(train, {"train": (1220, 20), "val": (100, 2)}, world=4)
    assert lines[0] == "samples: train 1220 of 20 groups, val 100 of 2 groups"
    assert lines[1] == (
        "459 optimizer steps x 32 samples (4 processes x 1 per micro-batch x 8 accumulated) "
        "= 14688 samples, 12.0 epochs"
    )
