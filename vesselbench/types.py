"""The values that travel the road: annotation, Sample, Example, Batch, Prediction, ScoreRow (imports nothing heavy).

Sizes are always (H, W) in pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Size = tuple[int, int]
BoolMask: TypeAlias = "npt.NDArray[np.bool_]"
SetName = Literal["train", "val", "test"]
SET_NAMES: tuple[SetName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Task:
    """What a net with a fixed head must know: one output channel per target name."""

    targets: tuple[str, ...]
    channels: int = 3

    def index(self, target: str) -> int:
        """Channel of `target`; KeyError names the known ones when it is not part of the task."""
        if target not in self.targets:
            raise KeyError(f"target {target!r} is not part of this task: {', '.join(self.targets)}")
        return self.targets.index(target)


@dataclass(frozen=True)
class Polygons:
    """Filled outlines, united. Each part is flat ``x1, y1, x2, y2, ...`` in pixels of `size`.

    `size` is the (H, W) that the annotation states, when it states one; the decoder scales from it to the image.
    """

    parts: tuple[tuple[float, ...], ...]
    size: Size | None = None


@dataclass(frozen=True)
class Rle:
    """COCO run lengths, column-major, first run background: a tuple of counts or COCO's compressed bytes."""

    counts: tuple[int, ...] | bytes
    size: Size


@dataclass(frozen=True)
class MaskFile:
    """A mask image. Two values: the larger is foreground. More values need `foreground`, the values that count."""

    path: Path
    foreground: tuple[int, ...] | None = None


Mask = MaskFile | tuple[Polygons | Rle, ...]
"""A tuple is the union (OR) of its shapes; the empty tuple is an annotated negative."""


@dataclass(frozen=True)
class Sample:
    """One (image, target): every shape of that image with that phrase, as ONE mask."""

    id: str
    image: Path
    mask: Mask | None
    target: str = "vessel"
    prompt: str = "blood vessel"
    group: str = ""
    fov: MaskFile | None = None
    observer2: Mask | None = None
    spacing: tuple[float, float] | None = None
    origin: str = ""
    """Where the annotation stands (file and index), for messages."""


@dataclass(frozen=True)
class Example:
    """A Sample with its pixels, made in loader workers. image: uint8 [H,W,3]; mask, fov, observer2: bool [H,W].

    `seed` follows from the recipe's seed, the epoch and the sample: what a model draws for a training example (points,
    words) should come from it, so that a sample is learned alike on any rank and in any micro-batch.
    """

    sample: Sample
    image: npt.NDArray[np.uint8]
    mask: BoolMask | None
    fov: BoolMask | None = None
    observer2: BoolMask | None = None
    seed: int = field(default=0, kw_only=True)

    @property
    def size(self) -> Size:
        return (int(self.image.shape[0]), int(self.image.shape[1]))


@dataclass
class Batch:
    """The core fills `ids` and `sizes`; `inputs` is what the plugin's collator made, opaque to the harness."""

    ids: list[str]
    sizes: list[Size]
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """probability: float32 [H,W] in [0,1] at the original size of the image."""

    id: str
    probability: npt.NDArray[np.float32]
    text: str | None = None
    status: str = "ok"
    threshold: float = 0.5
    graded: bool = True
    """False: somebody's mask, without probabilities: metrics of probabilities have no value then."""

    def mask(self, threshold: float | None = None) -> BoolMask:
        """Pixels whose probability is at least the threshold (the prediction's own when none is given)."""
        single = self.probability.dtype.type  # the comparison is one of float32 with float32
        above: BoolMask = self.probability >= single(self.threshold if threshold is None else threshold)
        return above


@dataclass(frozen=True)
class ScoreRow:
    """The scores of one prediction. A value is None only with one of the `reasons`; never NaN."""

    id: str
    group: str
    target: str
    values: Mapping[str, float | None]
    case: str = "ok"
    """ok, both_empty, empty_prediction or empty_reference: what the empty-mask policy met."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """metric -> why it has no value"""
    mask_sha256: str = ""
    status: str = "ok"
    counts: Mapping[str, int] = field(default_factory=dict)
    """tp, fp, fn, tn: pixels inside the field of view"""
    calibration: Mapping[str, list[float]] = field(default_factory=dict)
    """Sums over the pixels in each bin of the probability: count, probability, vessel; empty where not measured."""


@dataclass(frozen=True)
class Scores:
    """All rows of one set, with what is needed to tell whether two of them may be compared."""

    rows: tuple[ScoreRow, ...]
    set_name: str
    threshold: float
    fingerprint: str
    metric_versions: Mapping[str, int]
    weights_sha256: str = ""

    def mean(self, metric: str) -> float | None:
        """Mean over images; None when no row has a value."""
        values = [v for row in self.rows if (v := row.values[metric]) is not None]
        return fmean(values) if values else None

    def median(self, metric: str) -> float | None:
        """Median over images; None when no row has a value."""
        values = [v for row in self.rows if (v := row.values[metric]) is not None]
        return median(values) if values else None


@dataclass(frozen=True)
class Split:
    """Sample ids per set. `fingerprint` covers ids, groups, image bytes and decoded masks."""

    name: str
    seed: int
    sets: Mapping[SetName, tuple[str, ...]]
    fingerprint: str


@dataclass(frozen=True)
class Costs:
    """What one training sample costs. FLOPs (a multiplication with its addition is 2) of the forward pass, of the
    backward pass, and of what checkpointing computes again. Bytes, in the precision that is planned: kept for backward
    without and with checkpointing (None: not offered), of the logits over a vocabulary with their gradient, and at once
    inside networks without gradient. Parameters that ZeRO-3 gathers in the forward and in the backward pass.
    `blocks`: where a sample was run, the sizes in bytes of all blocks that both passes held at their highest point,
    gradients and workspaces included; they then stand for what is kept, for logits and for what is held at once.
    """

    flops_forward: float
    flops_backward: float
    flops_again: float
    activation_bytes: int
    checkpointed_bytes: int | None
    logit_bytes: int
    working_bytes: int
    gathered_forward: int
    gathered_backward: int
    basis: str
    """How these were found, in words."""
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Footprint:
    """What a model needs before anything is built. frozen, trainable, largest_layer: parameters."""

    frozen: int
    trainable: int
    largest_layer: int
    activation_bytes_per_sample: int = 0
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """part name -> (parameters, trainable ones)"""
    notes: tuple[str, ...] = ()
    """Sentences that belong beside the counts."""
    costs: Costs | None = None
    """None: they are counted by running a sample."""


def targets_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The target names that occur, sorted: the channel order of every fixed head."""
    return tuple(sorted({sample.target for sample in samples}))
