"""Which images, in which groups, divided how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from vesselbench.config.base import Settings

GroupName = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int) else name)]


def _off(value: Any) -> Any:
    return "off" if value is False else value  # YAML reads off as false


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
    unit: str | None = Field(default=None, pattern=r"^[^\W\d_][^/]*(/[^\W\d_][^/]*)?$", max_length=60)
    """What a group is, for sentences: patient, eye, child/children (singular/plural). Default: group, or image where
    each image is a group of its own."""
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
