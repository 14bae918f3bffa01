"""What DeepSpeed and the optimizer are given, derived from TrainConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vesselbench.config import TrainConfig
from vesselbench.data.loader import accumulation
from vesselbench.errors import UserError
from vesselbench.recipes import merge
from vesselbench.sharding import whole_shape

NO_DECAY = (torch.nn.Embedding,)
GPU_BUCKET = 50_000_000
CPU_BUCKET = 1_000_000


def deepspeed_settings(
    train: TrainConfig, stage: int, micro: int, accumulation: int, device: torch.device
) -> dict[str, Any]:
    """The DeepSpeed JSON of a run; ``train.deepspeed`` is merged last.

    On CPU nothing persists unpartitioned (threshold 0): at tiny sizes the default would keep every tensor whole on
    every rank, and gathering is faster there than the bookkeeping of persistent tensors (measured).
    """
    cuda = device.type == "cuda"
    bucket = GPU_BUCKET if cuda else CPU_BUCKET
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": train.clip,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
        "bf16": {"enabled": train.precision == "bf16"},
        "zero_optimization": {
            "stage": stage,
            "overlap_comm": cuda,
            "contiguous_gradients": True,
            "reduce_bucket_size": bucket,
            "stage3_prefetch_bucket_size": bucket,
            "stage3_param_persistence_threshold": 100_000 if cuda else 0,
            "stage3_gather_16bit_weights_on_model_save": False,
        },
    }
    return merge(settings, train.deepspeed)


def param_groups(module: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels with decay; biases, norms and embeddings without.

    Raises UserError when nothing is trainable.
    """
    embedded = {id(p) for part in module.modules() if isinstance(part, NO_DECAY) for p in part.parameters()}
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trainable:
        raise UserError("no parameter of the model is trainable", "change the model's freeze settings")
    plain = [p for p in trainable if len(whole_shape(p)) > 1 and id(p) not in embedded]
    bare = [p for p in trainable if len(whole_shape(p)) <= 1 or id(p) in embedded]
    groups = [{"params": plain, "weight_decay": weight_decay}, {"params": bare, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def make_optimizer(groups: list[dict[str, Any]], train: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over the given groups, plain torch: no operator is compiled."""
    return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, weight_decay=train.weight_decay)


def accounting(
    train: TrainConfig, counts: Mapping[str, tuple[int, int]], world: int, images: int | None = None
) -> list[str]:
    """What will be done, before the first step, in words that cannot be mixed up.

    `counts` holds (samples, groups) per set; `images` is given when the samples of an image are drawn at once.
    """
    unit = "samples" if images is None else "images"
    micro, accumulated = accumulation(train, world)
    seen = train.steps * train.batch_size
    return [
        "samples: " + ", ".join(f"{name} {size} of {groups} groups" for name, (size, groups) in counts.items()),
        f"{train.steps} optimizer steps x {train.batch_size} {unit} ({world} processes x {micro} per micro-batch "
        f"x {accumulated} accumulated) = {seen} {unit}, {seen / (images or counts['train'][0]):.1f} epochs",
    ]
