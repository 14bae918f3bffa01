"""How a model is trained: the same keys for every model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vesselbench.config.augment import AugmentConfig
from vesselbench.config.base import Settings

Decay = Annotated[float, Field(ge=0, lt=1)]
Store = Literal["none", "cpu", "nvme"]
BUDGETS = ("steps", "epochs", "samples", "minutes")
"""Keys of which exactly one says how long a training is."""
DEFAULT_STEPS = 200


class OffloadConfig(Settings):
    """Where ZeRO keeps what a GPU need not hold all the time. Without a GPU cpu changes nothing, and that is said."""

    optimizer: Store = "none"
    """State of the optimizer: cpu, the host's memory (ZeRO stage 1 and above); nvme, files (stage 3)."""
    parameters: Store = "none"
    """The ranks' shares of the weights: cpu or nvme, at ZeRO stage 3."""
    folder: Path | None = None
    """Folder on a fast local disk, needed for nvme."""


class TrainConfig(Settings):
    """One optimizer step is one step everywhere: in logs, schedules and checkpoint names."""

    steps: int | None = Field(default=None, ge=1)
    """Length of the training in optimizer steps. Exactly one of steps, epochs, samples and minutes counts: a later one
    (in a further file, on the command line) replaces an earlier one. None of them: 200 steps."""
    epochs: float | None = Field(default=None, gt=0)
    """Length in passes over the training set, rounded up to whole steps."""
    samples: int | None = Field(default=None, ge=1)
    """Length in samples seen (images, where the samples of an image are drawn at once), rounded up to whole steps."""
    minutes: float | None = Field(default=None, gt=0)
    """Length in minutes of training; validations and checkpoints do not count. The learning rate follows the share of
    the time that is used, so that two such runs are never equal to the last digit."""
    batch_size: int = Field(default=4, ge=1)
    """Samples per optimizer step, over all processes."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples per process and forward pass; None: as many as make one micro-batch per step."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw: decoupled weight decay; sgd: with Nesterov's momentum, as nnU-Net trains."""
    lr: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    lr_scale: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Factors of the learning rate: for a part of the model (see `vesselbench plan`), or for parameters whose names fit
    a pattern such as ``*lora_*``. Of several that fit, the last one counts; one that fits nothing is an error."""
    momentum: Decay = 0.99
    """Momentum of sgd (0: none)."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's decay rates of the two moments."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay; biases, norms, embeddings, position tables and other one-dimensional parameters get none."""
    clip: float = Field(default=1.0, ge=0)
    """Largest gradient norm; 0: no clipping."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the training in which the learning rate rises linearly from 0."""
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    """Course of the learning rate after the warm-up, down to 0 for cosine and poly (power 0.9)."""
    ema: Decay = 0.0
    """Decay per step of a moving average of the trained weights; 0: none. The average is what is validated, saved and
    scored. It warms up: the decay is at most (1 + step) / (10 + step)."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many validations in a row without a better score; 0: never. The learning rate's course is still the
    whole training's."""
    validate_first: bool = True
    """Validate before the first step, too: what the weights score untrained."""
    zero_stage: Literal["auto", 0, 1, 2, 3] = "auto"
    """DeepSpeed ZeRO stage; auto: the lowest that fits into memory."""
    init: Literal["auto", "plain", "sharded"] = "auto"
    """How the processes get the model's weights. plain: each builds the whole model, which is then split; sharded, at
    ZeRO stage 3: each tensor is split as soon as it is read, so that no process ever holds more than its share and one
    tensor. The weights are the same. auto: sharded at stage 3 on several processes when base weights of more than 1 GiB
    are named and the model can be built so, else plain."""
    offload: OffloadConfig = OffloadConfig()
    """What is kept outside of the GPU."""
    precision: Literal["fp32", "bf16", "autocast"] = "fp32"
    """Arithmetic of forward and backward. bf16: weights and activations in bfloat16, the optimizer's copy in fp32;
    autocast: weights in fp32, convolutions and matrix products in bfloat16. Batch normalisation cannot be trained in
    bf16; such a model gets autocast instead, and that is said."""
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
    keep_best: str | None = None
    """Metric by which a checkpoint is the best one; None: evaluation.primary. It must be one of evaluation.metrics."""
    keep_state: Literal["all", "newest"] = "all"
    """Which of the checkpoints keep the state of the optimizer, which only a resume needs (8 bytes for each trained
    parameter with adamw in fp32, 12 in bf16). With newest, a resume cannot pass over a damaged newest checkpoint."""
    check_after: int = Field(default=20, ge=0)
    """Steps after which each trained parameter must have had a gradient, and steps at a tenth of the peak learning rate
    or more after which each must have moved; else the training stops and names those that did not. At the last step,
    where there are fewer; 0: never."""
    cache_features: bool | Path = False
    """Compute what the model's frozen networks make of each training image once, before the first step, and keep it on
    disk: true: in the user's cache folder; a path: there. The training then runs without these networks. Only for
    images that are the same in every epoch (see `augment`), as confidential as the images, and large: it says how
    large. Predictions are made with the whole model."""
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

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = [key for key in BUDGETS if values.get(key) is not None]
        if len(given) > 1:
            raise ValueError(f"only one of {', '.join(given)} can be the length of the training")
        return values if given else {**values, "steps": DEFAULT_STEPS}

    @model_validator(mode="after")
    def _offload_has_a_place(self) -> Self:
        wanted = self.offload
        if "nvme" in (wanted.optimizer, wanted.parameters) and wanted.folder is None:
            raise ValueError("train.offload to nvme needs train.offload.folder")
        if wanted.optimizer == "nvme" and self.ema:
            raise ValueError("train.ema needs the optimizer's weights in memory: not with train.offload.optimizer=nvme")
        if self.patience and not self.validate_every:
            raise ValueError("train.patience counts validations: set train.validate_every")
        if isinstance(self.zero_stage, int) and self.zero_stage < self.least_stage:
            raise ValueError(f"train.offload as it is set needs train.zero_stage={self.least_stage} or above, or auto")
        return self

    @property
    def total_steps(self) -> int:
        """`steps`, where the recipe states its length so; else ValueError."""
        if self.steps is None:
            raise ValueError("the recipe does not state its length in steps")
        return self.steps

    @property
    def least_stage(self) -> int:
        """The lowest ZeRO stage at which everything is split that `offload` names."""
        if self.offload.parameters != "none" or self.offload.optimizer == "nvme":
            return 3
        return 1 if self.offload.optimizer == "cpu" else 0
