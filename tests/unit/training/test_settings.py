from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from vesselbench.config import TrainConfig
from vesselbench.training.settings import deepspeed_settings

CPU = torch.device("cpu")


def test_raw_deepspeed_settings_are_merged_last():
    train = TrainConfig(deepspeed={"zero_optimization": {"reduce_bucket_size": 7}, "gradient_clipping": 0.5})
    settings = deepspeed_settings(train, 2, 4, 1, CPU)
    assert settings["zero_optimization"]["reduce_bucket_size"] == 7
    assert settings["zero_optimization"]["stage"] == 2
    assert settings["gradient_clipping"] == 0.5


@pytest.mark.parametrize(
    ("arithmetic", "enabled"), [("fp32", (False, False)), ("bf16", (True, False)), ("autocast", (False, True))]
)
def test_an_arithmetic_is_one_switch_of_deepspeed(arithmetic, enabled):
    settings = deepspeed_settings(TrainConfig(), 3, 1, 1, CPU, arithmetic)
    assert (settings["bf16"]["enabled"], settings["torch_autocast"]["enabled"]) == enabled


@pytest.mark.parametrize(
    ("offload", "stage", "needed"),
    [({"optimizer": "cpu"}, 0, 1), ({"parameters": "cpu"}, 2, 3), ({"optimizer": "nvme", "folder": "x"}, 2, 3)],
)
def test_offload_that_the_stage_would_ignore_is_refused(offload, stage, needed):
    with pytest.raises(ValidationError, match=f"train.zero_stage={needed}"):
        TrainConfig(offload=offload, zero_stage=stage)
    assert TrainConfig(offload=offload, zero_stage=needed).least_stage == needed


def test_offload_to_files_needs_a_folder():
    with pytest.raises(ValidationError, match=r"train\.offload\.folder"):
        TrainConfig(offload={"optimizer": "nvme"})
