"""What a model's own grids cost before any learning: the best scores it can reach, per image and vessel width.

Three stages, each measured against the mask at the image's own size. input: the best mask that can be drawn on the
resized image; output: the best that the logits' grid can draw; target: what a perfect fit to the mask that the loss
reads would draw (only where the loss shrinks it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from vesselbench.config import Recipe
from vesselbench.data.limits.resample import best_fit, fit_of_target, from_input, from_output
from vesselbench.data.limits.widths import Overlap, Vessels, bin_names, measure_vessels, overlap, overlaps_by_width
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.grids import Grids
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings
from vesselbench.types import BoolMask, Example, Sample, Size

ENOUGH = 0.01
"""A cost of less than this, in Dice and clDice, is none that anyone need mend."""
Stating = Callable[[Size], Grids]


@runtime_checkable
class StatesGrids(Protocol):
    """A ModelPlugin that says where it loses resolution."""

    name: str

    def grids(self, config: Any, size: Size) -> Grids: ...


@dataclass(frozen=True)
class ImageCeiling:
    """The best scores of one image: by stage over the whole image, and by stage and width bin."""

    id: str
    size: Size
    grids: Grids
    whole: dict[str, Overlap]
    by_width: dict[str, list[Overlap | None]]


@dataclass(frozen=True)
class Ceiling:
    """All images that have vessels, and how many have none: for these every model can be perfect."""

    model: str
    images: tuple[ImageCeiling, ...]
    empty: int

    def stages(self) -> list[str]:
        """The stages that were measured, in the order of the road."""
        return list(self.images[0].whole)

    def mean(self, stage: str, width: int | None = None) -> tuple[float, float, int] | None:
        """Mean Dice, mean clDice and number of images, of one width bin or of all; None where no image has it."""
        found = [one.whole[stage] if width is None else one.by_width[stage][width] for one in self.images]
        known = [one for one in found if one is not None]
        return (fmean(o.dice for o in known), fmean(o.cldice for o in known), len(known)) if known else None


def stating(recipe: Recipe, catalogue: Catalogue) -> Stating:
    """The grids of the recipe's model by image size; UserError when its plugin does not state them."""
    plugin, config = model_settings(recipe, catalogue)
    if not isinstance(plugin, StatesGrids):
        raise UserError(
            f"the model {plugin.name!r} does not state its grids", "its plugin needs a method grids(config, size)"
        )
    return lambda size: plugin.grids(config, size)


def evenly(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """`limit` of the samples at equal distances, the first and the last among them; all when None."""
    if limit is None or limit >= len(samples):
        return list(samples)
    step = (len(samples) - 1) / max(1, limit - 1)
    return [samples[round(number * step)] for number in range(limit)]


def measure_ceiling(
    samples: Iterable[Sample], model: str, grids_of: Stating, progress: Callable[[int], None] | None = None
) -> Ceiling:
    """Measure every sample; `progress` is told how many are done.

    Scores count inside the field of view. Raises UserError for a sample that cannot be read or has no annotation, and
    when no sample has a vessel.
    """
    images, empty = [], 0
    for number, sample in enumerate(samples, 1):
        example = load_example(sample)
        if example.mask is None:
            raise UserError(f"sample {sample.id!r} has no annotation", "annotate or remove it")
        if (example.mask if example.fov is None else example.mask & example.fov).any():
            images.append(image_ceiling(example, example.mask, grids_of(example.size)))
        else:
            empty += 1
        if progress is not None:
            progress(number)
    if not images:
        raise UserError(
            "no image has a vessel: there is nothing to lose", "check the masks with `vesselbench data check`"
        )
    return Ceiling(model, tuple(images), empty)


def image_ceiling(example: Example, mask: BoolMask, grids: Grids) -> ImageCeiling:
    """The ceiling of one image with a mask that is not empty, bool [H,W]."""
    size = example.size
    reference = measure_vessels(mask)
    output = from_output(grids, size)
    drawn = {"input": best_fit(mask, from_input(grids, size)), "output": best_fit(mask, output)}
    if grids.target is not None:
        drawn["target"] = fit_of_target(mask, grids, output)
    whole: dict[str, Overlap] = {}
    by_width: dict[str, list[Overlap | None]] = {}
    for stage, best in drawn.items():
        whole[stage], by_width[stage] = _scores(reference, best, example.fov)
    return ImageCeiling(example.sample.id, size, grids, whole, by_width)


def _scores(reference: Vessels, best: BoolMask, fov: BoolMask | None) -> tuple[Overlap, list[Overlap | None]]:
    return overlap(reference, best, fov), overlaps_by_width(reference, best, fov)


def recommend(ceiling: Ceiling) -> str:
    """One sentence per stage that costs `ENOUGH` in Dice or clDice beyond the stage before it, with its cure."""
    said = []
    before = (1.0, 1.0)
    for stage in ceiling.stages():
        mean = ceiling.mean(stage)
        assert mean is not None, "every image has every stage"
        costs = (before[0] - mean[0], before[1] - mean[1])
        if max(costs) >= ENOUGH:
            cure = ceiling.images[0].grids.cures.get(stage, "use a finer grid, or cut the images into tiles")
            said.append(f"The {stage} grid costs {costs[0]:.3f} Dice and {costs[1]:.3f} clDice: {cure}.")
        before = (min(before[0], mean[0]), min(before[1], mean[1]))
    if not said:
        said = [f"Nothing to change: the grids cost {1 - before[0]:.3f} Dice and {1 - before[1]:.3f} clDice."]
    return " ".join([*said, *_thin(ceiling)])


def _thin(ceiling: Ceiling) -> list[str]:
    """A sentence on the widths that lose a tenth or more at the last stage."""
    last = ceiling.stages()[-1]
    means = [(name, ceiling.mean(last, number)) for number, name in enumerate(bin_names())]
    poor = [f"{name} {mean[0]:.2f} / {mean[1]:.2f}" for name, mean in means if mean and min(mean[:2]) <= 0.9]
    return [f"Best Dice / clDice that can be reached by width: {', '.join(poor)}."] if poor else []


def ceiling_record(ceiling: Ceiling) -> dict[str, Any]:
    """The ceiling as plain JSON values: means per stage and width, every image, the recommendation."""
    bins = bin_names()

    def mean(stage: str, width: int | None) -> dict[str, float | int] | None:
        found = ceiling.mean(stage, width)
        return None if found is None else {"dice": found[0], "cldice": found[1], "images": found[2]}

    return {
        "model": ceiling.model,
        "images": len(ceiling.images),
        "without_vessel": ceiling.empty,
        "recommendation": recommend(ceiling),
        "stages": {
            stage: {"all": mean(stage, None)} | {name: mean(stage, number) for number, name in enumerate(bins)}
            for stage in ceiling.stages()
        },
        "by_image": [_image_record(image, bins) for image in ceiling.images],
    }


def _image_record(image: ImageCeiling, bins: list[str]) -> dict[str, Any]:
    def values(one: Overlap | None) -> dict[str, float | int] | None:
        return None if one is None else {"dice": one.dice, "cldice": one.cldice, "centre_pixels": one.pixels}

    stages = {
        stage: {"all": values(image.whole[stage])}
        | {name: values(one) for name, one in zip(bins, image.by_width[stage], strict=True)}
        for stage in image.whole
    }
    grids = image.grids
    sizes = {"input": grids.input, "canvas": grids.canvas, "output": grids.output, "target": grids.target}
    return {"id": image.id, "size": image.size, "resize": grids.resize, "grids": sizes, "stages": stages}
