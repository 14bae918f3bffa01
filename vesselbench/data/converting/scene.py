"""What the writers of data sets receive: images with their samples, and how masks are to be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vesselbench.config import Settings
from vesselbench.data.converting.images import reason_to_redraw
from vesselbench.data.converting.names import Names
from vesselbench.data.formats.fields import refuse_equal_prompts
from vesselbench.data.images import image_size
from vesselbench.errors import UserError
from vesselbench.recipes import merge, parse_override, validate_options
from vesselbench.types import Sample, Size

IMAGES = "images"
"""Folder of the images in every copy."""


class WriteOptions(Settings):
    """How masks are written (``write.KEY=VALUE`` on the command line)."""

    masks: Literal["auto", "polygons", "rle"] = "auto"
    """For coco and arcade. auto: polygons and run lengths stay what they are, mask images become run lengths."""
    holes: bool = True
    """Whether traced outlines keep holes, by a slit of no width from each to the outline around it."""
    tolerance: float = Field(default=0.0, ge=0, le=100)
    """Pixels that a traced outline may leave the pixel edges, to need fewer points. 0: every pixel stays."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One image with all its samples. `stem`: its place below the copy's images, without extension; `size`: (H, W).

    `redraw`: why the image cannot be copied as it is, or None. `group`: its new name, empty where none was given.
    """

    image: Path
    stem: str
    suffix: str
    size: Size
    group: str
    samples: tuple[Sample, ...]
    redraw: str | None

    @property
    def name(self) -> str:
        """File name below the copy's images."""
        return self.stem + self.suffix

    def sample(self, target: str) -> Sample | None:
        """The sample of a target; None when the image was not annotated for it."""
        return next((sample for sample in self.samples if sample.target == target), None)

    def in_order(self, targets: Iterable[str]) -> list[Sample]:
        """A sample of each target, all of which the image was annotated for."""
        found = [self.sample(target) for target in targets]
        return [sample for sample in found if sample is not None]


@dataclass(frozen=True)
class Scenes:
    """All images, sorted by their new names, and target -> prompt."""

    every: tuple[Scene, ...]
    targets: dict[str, str]

    @property
    def grouped(self) -> bool:
        """Whether any group holds more than one image: else nobody has stated groups."""
        return len({scene.group for scene in self.every}) < len(self.every)

    def require_all_targets(self, target_format: str) -> None:
        """UserError unless every image was annotated for every target: formats take absence for a negative."""
        for scene in self.every:
            for target in self.targets:
                if scene.sample(target) is None:
                    reason = f"{scene.image} was not annotated for {target!r}; {target_format} would call it a negative"
                    raise UserError(reason, "write sa2va, or one target at a time by the options of the format")


def scenes_of(samples: Sequence[Sample], names: Names) -> Scenes:
    """The samples by image. UserError for images that cannot be read, samples without annotation, a target with two
    prompts and two targets of one prompt."""
    targets: dict[str, str] = {}
    members: dict[Path, list[Sample]] = {}
    for sample in samples:
        if sample.mask is None:
            cure = "annotate it; an empty mask is a legal negative"
            raise UserError(f"sample {sample.id!r} has no annotation", cure)
        if targets.setdefault(sample.target, sample.prompt) != sample.prompt:
            raise UserError(f"the target {sample.target!r} has two prompts", "set data.options.prompts")
        members.setdefault(sample.image, []).append(sample)
    refuse_equal_prompts(targets)
    scenes = [_scene(image, names, tuple(found)) for image, found in members.items()]
    return Scenes(tuple(sorted(scenes, key=lambda scene: scene.stem)), dict(sorted(targets.items())))


def _scene(image: Path, names: Names, samples: tuple[Sample, ...]) -> Scene:
    redraw = "the metadata of the original may carry names" if names.hidden else reason_to_redraw(image)
    suffix = ".png" if redraw else image.suffix
    group = names.groups[samples[0].group]
    return Scene(image, names.stems[image], suffix, image_size(image), group, samples, redraw)


def write_options(overrides: Sequence[str]) -> tuple[WriteOptions, list[str]]:
    """The options among texts such as ``write.tolerance=1``, and the other texts; UserError for an unknown one."""
    values: dict[str, Any] = {}
    others = []
    for text in overrides:
        if text.startswith("write."):
            values = merge(values, parse_override(text)["write"])
        else:
            others.append(text)
    return validate_options(WriteOptions, values, "write."), others
