"""How a model is trained: the same keys for every model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from vesselbench.config.base import Settings

Decay = Annotated[float, Field(ge=0, lt=1)]


class AugmentConfig(Settings):
    """Random changes of training examples, the same for every model; seeded by (seed, epoch, sample)."""

    crop: int | None = Field(default=None, ge=1)
    """Side of a random square crop in pixels; a side of the image that is shorter stays whole. None: no crop."""
    flip: bool = True
    """Mirror left-right and top-bottom, each with probability one half."""
    rotate: bool = True
    """Rotate by a random multiple of 90 degrees."""
    brightness: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of the grey values, as a share of the full range."""
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of contrast around the image's mean."""


class TrainConfig(Settings):
    """One optimizer step is one step everywhere: in logs, schedules and checkpoint names."""

    steps: int = Field(default=200, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=4, ge=1)
    """Samples per optimizer step, over all processes."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples per process and forward pass; None: as many as make one micro-batch per step."""
    lr: float = Field(default=1e-3, gt=0)
    """Peak learning rate of AdamW."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's decay rates of the two moments."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay; biases, norms and other one-dimensional parameters get none."""
    clip: float = Field(default=1.0, ge=0)
    """Largest gradient norm; 0: no clipping."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises linearly from 0."""
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    """Course of the learning rate after the warm-up, down to 0 for cosine and poly (power 0.9)."""
    zero_stage: Literal["auto", 0, 1, 2, 3] = "auto"
    """DeepSpeed ZeRO stage; auto: the lowest that fits into memory."""
    init: Literal["auto", "plain", "sharded"] = "auto"
    """How the processes get the model's weights. plain: each builds the whole model, which is then split; sharded, at
    ZeRO stage 3: each tensor is split as soon as it is read, so that no process ever holds more than its share and one
    tensor. The weights are the same. auto: sharded at stage 3 on several processes when base weights of more than 1 GiB
    are named and the model can be built so, else plain."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of forward and backward; the optimizer's copy is always fp32."""
    seed: int = Field(default=42, ge=0)
    """Weights, order and augmentation follow from it."""
    log_every: int = Field(default=10, ge=1)
    """Steps between lines of train.jsonl."""
    validate_every: int = Field(default=0, ge=0)
    """Steps between validations; the best one's checkpoint is kept. 0: only after the last step."""
    save_every: int = Field(default=0, ge=0)
    """Steps between further checkpoints; 0: none."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints to keep, beside the best and the last."""
    workers: int = Field(default=0, ge=0)
    """Loader processes per rank; 0: load in the training process."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training examples."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one."""
    timeout_minutes: float = Field(default=30.0, gt=0)
    """A process that waits longer than this for the others ends with an error."""
    deepspeed: dict[str, Any] = Field(default_factory=dict)
    """Raw DeepSpeed settings, merged last."""
