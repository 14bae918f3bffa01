"""Images and mask images, paired by file name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vesselbench.config import Settings
from vesselbench.data.findings import Fault, refuse_each
from vesselbench.data.formats import fields
from vesselbench.data.formats.listing import files_by_stem, place_of, some
from vesselbench.data.mask_files import colour_value
from vesselbench.recipes import validate_options
from vesselbench.types import MaskFile, Sample

log = logging.getLogger(__name__)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class PairsOptions(Settings):
    """Options of the format ``pairs``. A place is a folder below data.root, or a pattern with ``{stem}``."""

    images: str = "images"
    """Folder of the images, or a pattern such as images/{stem}.jpg."""
    masks: str = "masks"
    """Folder of the masks (equal stems), or a pattern such as masks/{stem}_1stHO.png."""
    fov: str | None = None
    """Folder or pattern of field-of-view masks; every image needs one."""
    observer2: str | None = None
    """Folder or pattern of a second observer's masks; images may lack one."""
    target: str = "vessel"
    """Name of what the masks show."""
    prompt: str = "blood vessel"
    """The phrase a language model is given for it."""
    foreground: list[int] | None = None
    """Values of a mask that count as foreground; None: the larger of two."""
    values: dict[str, Annotated[list[int | str], BeforeValidator(_as_list)]] | None = None
    """Targets of a class-id or colour mask: the values of each, numbers or colours, such as {vessel: [1, 2],
    catheter: ["#ff0000"]}. A target is called by its name; `prompts` gives its phrase. Other values are background."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt of a target named in `values`; default: its name."""

    @field_validator("values")
    @classmethod
    def _values_are_told_apart(cls, values: dict[str, list[int | str]] | None) -> dict[str, list[int | str]] | None:
        owners: dict[int, str] = {}
        for target, members in (values or {}).items():
            if not members:
                raise ValueError(f"{target!r} has no value")
            for member in members:
                number = colour_value(member) if isinstance(member, str) else member
                if owners.setdefault(number, target) != target:
                    raise ValueError(f"{member!r} belongs to {owners[number]!r} and to {target!r}")
        return values

    @model_validator(mode="after")
    def _one_way_of_naming(self) -> PairsOptions:
        single = {"foreground", "target", "prompt"} & self.model_fields_set
        if self.values is not None and single:
            raise ValueError(f"values names the targets, so {', '.join(sorted(single))} must not be set")
        if self.values == {}:
            raise ValueError("values names no target")
        if unknown := sorted(self.prompts.keys() - (self.values or {}).keys()):
            raise ValueError(f"prompts names {', '.join(unknown)}, which values does not")
        return self

    def targets(self) -> dict[str, tuple[str, tuple[int, ...] | None]]:
        """Target -> (prompt, values that count)."""
        if self.values is None:
            return {self.target: (self.prompt, None if self.foreground is None else tuple(self.foreground))}
        return {
            target: (
                self.prompts.get(target, target),
                tuple(colour_value(value) if isinstance(value, str) else value for value in members),
            )
            for target, members in self.values.items()
        }


class Pairs:
    """One Sample per (image, target); an image without a mask, or a mask without an image, is an error.

    The id of a sample is the stem, with ``:target`` behind it when `values` names several.
    """

    name = "pairs"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples sorted by stem. Raises Fault naming up to 5 unpaired files."""
        chosen = validate_options(PairsOptions, options, "data.options.")
        targets = chosen.targets()
        fields.refuse_equal_prompts({target: prompt for target, (prompt, _) in targets.items()})
        images = files_by_stem(root, chosen.images, "data.options.images")
        if not images:
            reason = f"no images in {root / chosen.images}"
            raise Fault("no-samples", "", reason, "check data.root and data.options.images")
        masks = _partners(root, chosen.masks, images, "masks")
        fov = _partners(root, chosen.fov, images, "fov")
        observer2 = _partners(root, chosen.observer2, images, "observer2", partial=True)
        for stem, image in images.items():
            if stem not in masks or (chosen.fov is not None and stem not in fov):
                continue  # found and reported by _partners
            for target, (prompt, counting) in targets.items():
                yield Sample(
                    id=stem + (f":{target}" if len(targets) > 1 else ""),
                    image=image,
                    mask=MaskFile(masks[stem], counting),
                    target=target,
                    prompt=prompt,
                    fov=MaskFile(fov[stem]) if stem in fov else None,
                    observer2=MaskFile(observer2[stem], counting) if stem in observer2 else None,
                    origin=str(place_of(masks[stem], root)),
                )


def _partners(
    root: Path, place: str | None, images: Mapping[str, Path], option: str, partial: bool = False
) -> dict[str, Path]:
    """The files at `place` by stem; Fault when they do not pair up with the images."""
    if place is None:
        return {}
    found = files_by_stem(root, place, f"data.options.{option}")
    lonely, surplus = images.keys() - found.keys(), found.keys() - images.keys()
    pattern = "write a pattern with {stem} into data.options"
    if surplus:
        refuse_each(
            "annotation-without-image",
            [place_of(found[stem], root) for stem in sorted(surplus)],
            "it belongs to no image",
            f"add the images, or {pattern}.images and data.options.{option}",
            f"{len(surplus)} of {len(found)} files in {root / place} belong to no image: {some(surplus)}",
        )
    if lonely and not partial:
        refuse_each(
            "image-without-annotation",
            [place_of(images[stem], root) for stem in sorted(lonely)],
            f"no file of this stem in {root / place}",
            f"add the files, or {pattern}.{option}",
            f"{len(lonely)} of {len(images)} images have no file in {root / place}: {some(lonely)}",
        )
    if lonely and partial:
        log.info("%d of %d images have no file in %s", len(lonely), len(images), root / place)
    return found
