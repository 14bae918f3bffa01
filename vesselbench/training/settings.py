"""What DeepSpeed and the optimizer are given, derived from TrainConfig."""

from __future__ import annotations

from typing import Any

import torch

from vesselbench.config import TrainConfig
from vesselbench.precision import Arithmetic
from vesselbench.recipes import merge
from vesselbench.training.offload import files_of

GPU_BUCKET = 50_000_000
CPU_BUCKET = 1_000_000


def deepspeed_settings(
    train: TrainConfig,
    stage: int,
    micro: int,
    accumulation: int,
    device: torch.device,
    arithmetic: Arithmetic | None = None,
) -> dict[str, Any]:
    """The DeepSpeed JSON of a run; ``train.deepspeed`` is merged last. `arithmetic`: the model's, ``train.precision``.

    On CPU nothing persists unpartitioned (threshold 0): at tiny sizes the default would keep every tensor whole on
    every rank, and gathering is faster there than the bookkeeping of persistent tensors (measured).
    """
    cuda = device.type == "cuda"
    bucket = GPU_BUCKET if cuda else CPU_BUCKET
    arithmetic = arithmetic or train.precision
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": train.clip,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
        "bf16": {"enabled": arithmetic == "bf16"},
        "torch_autocast": {"enabled": arithmetic == "autocast", "dtype": "bfloat16"},
        "zero_optimization": {
            "stage": stage,
            "overlap_comm": cuda,
            "contiguous_gradients": True,
            "reduce_bucket_size": bucket,
            "stage3_prefetch_bucket_size": bucket,
            "stage3_param_persistence_threshold": 100_000 if cuda else 0,
            "stage3_gather_16bit_weights_on_model_save": False,
            **_offloaded(train, cuda),
        },
    }
    return merge(settings, train.deepspeed)


def _offloaded(train: TrainConfig, cuda: bool) -> dict[str, Any]:
    wanted, files = train.offload, {}
    if train.offload.folder is not None:
        files = {"nvme_path": str(files_of(train.offload.folder))}
    return {
        key: {"device": store, "pin_memory": cuda, **(files if store == "nvme" else {})}
        for key, store in (("offload_optimizer", wanted.optimizer), ("offload_param", wanted.parameters))
        if store != "none"
    }
