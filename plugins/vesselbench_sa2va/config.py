"""The `model` part of a recipe that names sa2va."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Settings(BaseModel):
    """Frozen, unknown keys refused, attribute docstrings are the help texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoraSettings(Settings):
    """Low-rank adapters on the seven linear layers of every language-model block, and nowhere else."""

    r: int = Field(default=64, ge=1)
    """Rank."""
    alpha: float = Field(default=128, gt=0)
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of the adapter's inputs dropped in training."""
    tokens: Literal["lean", "official"] = "lean"
    """How the new tokens learn while embedding and head are frozen. lean: only their rows are trained; official: full
    copies of embedding and head are trained."""


class LossSettings(Settings):
    """Weights of the terms of the loss, and the points on which the mask is compared."""

    mask: float = Field(default=2.0, ge=0)
    """Weight of the cross-entropy on the points."""
    dice: float = Field(default=0.5, ge=0)
    """Weight of the dice term on the points."""
    llm: float = Field(default=1.0, ge=0)
    """Weight of the language model's cross-entropy over the answer; 0 freezes the head that only this teaches."""
    iou: float = Field(default=1.0, ge=0)
    """Weight of the squared error of the predicted IoU, which chooses one mask of three; 0 freezes the head that
    predicts it."""
    candidates: Literal["all", "chosen"] = "all"
    """Which of the three candidate masks learn. all: each of them, so that none is left untrained; chosen: the one with
    the largest predicted IoU, as in the official code."""
    points: int = Field(default=12544, ge=16)
    """Points per mask."""
    oversample: float = Field(default=3.0, ge=1)
    """Uniform points drawn, in multiples of `points`, from which the uncertain ones are kept."""
    uncertain: float = Field(default=0.75, ge=0, le=1)
    """Share of the points that are the most uncertain ones; the rest is uniform."""


class Sa2VAConfig(Settings):
    """Sa2VA: InternVL3 reads image and phrase, its [SEG] state prompts SAM 2."""

    size: Literal["tiny", "1b", "2b", "8b", "14b", "auto"] = "tiny"
    """tiny: random weights, for tests and demonstrations; the others are InternVL3 of that size with SAM 2 large; auto:
    what the config.json in `weights` states."""
    weights: tuple[Path, ...] = ()
    """What to start from, one path or a list, each recognised by its keys: base files, each part once (a folder of
    released Sa2VA weights, or one of InternVL and a SAM 2 file), then at most one official training checkpoint, last.
    Empty: random weights, for the size tiny only."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """Type in which loaded weights are held. bfloat16 halves a large model's memory; set train.precision=bf16
    too. float64 is for exact comparisons."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """How InternVL's two networks attend. sdpa: torch's fused kernels; eager: the matrix products and softmax of the
    official code, whose numbers it gives to the bit, slower and with more memory."""
    tokenizer: Path | None = None
    """Folder of the tokenizer, when it is not in `weights`. The size tiny brings its own."""
    lora: LoraSettings = LoraSettings()
    """Adapters of the language model."""
    freeze: Literal["auto", "official", "none"] = "auto"
    """official: trained are adapters, new tokens, projector, text_hidden_fcs and mask decoder; none: everything; auto:
    official, but none for the size tiny without weights (what is random must be trained)."""
    resize: Literal["pad", "squash"] = "pad"
    """How an image gets SAM's square shape. pad keeps the aspect ratio; squash stretches, as the official code does."""
    max_tiles: int | None = Field(default=None, ge=1, le=40)
    """Most tiles of an image for the language model, the thumbnail not counted. None: what the config.json in `weights`
    states, else 12; 1 for the size tiny."""
    window: int | None = Field(default=None, ge=32)
    """Side in pixels of the windows in which an image is predicted, each of them an image of its own to the model; set
    train.augment.crop to the same. None: the image at once, shrunk to SAM's square, as the official code does."""
    views: Literal[1, 4, 8] = 1
    """Predictions that are averaged: 1, the image as it is; 4, also mirrored; 8, also transposed."""
    neighbourhood: int | None = Field(default=None, ge=3)
    """Side in pixels of the square by which local contrast is measured: each colour is then replaced by its distance
    from the square's mean in deviations, as `unet` sees it, so that uneven light does not matter. None: the image."""
    masks: Literal["three", "single"] = "three"
    """three: SAM makes three candidates and the one of largest predicted IoU is taken, as in the official code; single:
    SAM makes one mask, by its own token for prompts that leave no choice."""
    checkpointing: bool = False
    """Keep no activations inside the blocks of the language model (and of the vision tower when it is trained), compute
    them again in the backward pass: less memory for more time. SAM's encoder does not offer it."""
    loss: LossSettings = LossSettings()
    """Terms of the loss."""
    loss_target: Literal["full", "official"] = "full"
    """full: the points read the mask at its own resolution; official: after nearest resizing to the logits' grid."""
    phrases: Literal["separate", "turns"] = "separate"
    """Several phrases of one image, in training. separate: a sample each; turns: questions of one conversation, so that
    the image is read once; train.batch_size then counts images. Predictions ask each phrase by itself."""
    prompts: Literal["fixed", "official"] = "fixed"
    """fixed: one question and one answer; official: drawn from the official lists for each training example."""
    answer: Literal["forced", "generated"] = "forced"
    """forced: the answer `Sure, [SEG].` is given to the model, as in training; generated: the model writes it,
    greedily. Only predictions differ; answers with no or several [SEG] are counted."""
    answer_tokens: int = Field(default=48, ge=2, le=512)
    """Tokens that a generated answer may have; always as many are made, so that all processes make equal calls."""

    @model_validator(mode="after")
    def _an_image_has_one_answer(self) -> Sa2VAConfig:
        if self.answer == "generated" and (self.window is not None or self.views > 1):
            key, piece = ("views", "view") if self.window is None else ("window", "window")
            raise ValueError(f"{key} needs answer=forced: an image has one answer, not one for each {piece}")
        return self

    @property
    def frozen(self) -> bool:
        """Whether the base is frozen: what was loaded may be, what is random (tiny without weights) must learn."""
        loaded = bool(self.weights) or self.size != "tiny"
        return loaded if self.freeze == "auto" else self.freeze == "official"

    @field_validator("weights", mode="before")
    @classmethod
    def _one_path_is_a_list_of_one(cls, value: object) -> object:
        return () if value is None else (value,) if isinstance(value, str | Path) else value
