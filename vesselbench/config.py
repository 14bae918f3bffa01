"""A recipe: what is trained on what, how, and how it is scored. Plain data: typed, storable, diffable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Decay = Annotated[float, Field(ge=0, lt=1)]
GroupName = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int) else name)]


def _off(value: Any) -> Any:
    return "off" if value is False else value  # YAML reads off as false


class Settings(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused, attribute docstrings are the help texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class SplitConfig(Settings):
    """How the samples are divided: always by whole groups (patients)."""

    seed: int = Field(default=0, ge=0)
    """Shuffles the groups before they are dealt out."""
    val: float | list[GroupName] = 0.15
    """Share of all groups for validation, or the names of the groups."""
    test: float | list[GroupName] = 0.2
    """Share of all groups for testing, or the names of the groups. With `folds` the share is not used."""
    stratify: bool = False
    """Deal the groups out so that every set spans the whole range of vessel fractions, from sparse to dense."""
    folds: int | None = Field(default=None, ge=2)
    """Cross-validation: every group is in the test set of exactly one of so many folds."""
    fold: int = Field(default=0, ge=0)
    """Which of the `folds` is the test set, counted from 0."""
    subset: float = Field(default=1.0, gt=0, le=1)
    """Share of the training groups to keep. Smaller shares are contained in larger ones; val and test stay the same."""
    file: Path | None = None
    """What to use as it is instead: a split.json (of an earlier run, say), or a CSV file with the column `set` (train,
    val, test or none) and at least one of the columns `id`, `file` and `group`."""

    @model_validator(mode="after")
    def _shares_leave_something(self) -> SplitConfig:
        shares = [share for share in (self.val, self.test) if isinstance(share, float)]
        if any(not 0 < share < 1 for share in shares) or sum(shares) >= 1:
            raise ValueError("val and test must each lie between 0 and 1 and sum to less than 1")
        return self

    @model_validator(mode="after")
    def _folds_agree_with_the_rest(self) -> SplitConfig:
        if self.folds is None:
            if self.fold:
                raise ValueError(f"fold {self.fold} needs folds, the number of folds")
            return self
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is not one of the {self.folds} folds, 0 to {self.folds - 1}")
        if isinstance(self.test, list):
            raise ValueError("folds chooses the test groups, so test must not name them")
        if self.file is not None:
            raise ValueError("folds divides the groups itself, so file must not be given")
        return self


class DataConfig(Settings):
    """Where the annotated images are."""

    format: str = "phantom"
    """Name of a data set format: phantom, pairs, coco, sa2va, labelme, arcade, slices, or a plugin's."""
    root: Path | None = None
    """Folder of the data set. The phantom needs none: it is drawn into a cache folder."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the format; an unknown one is an error that names the known ones."""
    group: str | None = None
    """Regular expression with one capture, searched in the image's path below `root`: the patient. Default: the
    format's own group, else each image is a group of its own."""
    groups: Path | None = None
    """CSV file with the column `group` and at least one of the columns `id` and `file`: the patient of every sample.
    Instead of `group`."""
    split: SplitConfig = SplitConfig()
    """Division into train, val and test."""
    cache: Annotated[Literal["off"] | Path | None, BeforeValidator(_off)] = None
    """Folder for decoded masks, a bit for each pixel, so that no polygon is filled twice; off: decode them each time.
    Default: a folder in the user's cache. They are as confidential as the masks; it may be deleted at any time."""
    allow_leak: bool = False
    """Go on although a group, an image or a near-duplicate of one stands in two sets. What was found is stamped into
    the run and every report of it."""

    @model_validator(mode="after")
    def _one_source_of_groups(self) -> DataConfig:
        if self.group is not None and self.groups is not None:
            raise ValueError("group and groups both name the patient: give one of them")
        return self


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


class EvalConfig(Settings):
    """How predictions are scored; fixed before the test set is looked at."""

    threshold: Literal["validation"] | float = "validation"
    """Probability from which a pixel counts as vessel; validation: the best one for `primary` on the validation set."""
    metrics: list[str] = ["dice", "iou", "pixel_accuracy"]
    """Names of the metrics, per image."""
    primary: str = "dice"
    """The metric that chooses checkpoint and threshold and leads the comparison."""
    batch_size: int = Field(default=1, ge=1)
    """Images per forward pass of a prediction."""

    @model_validator(mode="after")
    def _primary_is_scored(self) -> EvalConfig:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics names one twice: {self.metrics}")
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is not in metrics {self.metrics}")
        if isinstance(self.threshold, float) and not 0 < self.threshold < 1:
            raise ValueError("threshold must lie between 0 and 1")
        return self


class Recipe(Settings):
    """Everything a run needs to know; stored complete in its config.yaml."""

    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=100)
    """Name of the run's folder below runs/: letters, digits, dot, dash and underscore."""
    model: dict[str, Any]
    """name: the model; the other keys are checked by the model's own Config."""
    data: DataConfig = DataConfig()
    """Where the annotated images are."""
    train: TrainConfig = TrainConfig()
    """How the model is trained."""
    evaluation: EvalConfig = EvalConfig()
    """How predictions are scored."""
    trackers: list[str] = []
    """Names of trackers that receive the log; none is started unless it stands here."""

    @field_validator("name")
    @classmethod
    def _reports_have_a_folder_of_their_own(cls, name: str) -> str:
        if name == "comparison":
            raise ValueError("'comparison' is the folder of the reports")
        return name
