"""Everything that can be wrong with a data set, found before a training depends on it. Nothing is raised or mended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.checking import sets
from vesselbench.data.checking.images import ExaminedImage, ImageFacts, examine_image
from vesselbench.data.checking.masks import MaskFacts, absent_values, examine_mask, examine_shapes, facts_of, look_at
from vesselbench.data.checking.thin import thin_structures
from vesselbench.data.findings import Finding, Place, as_finding
from vesselbench.data.formats.listing import place_of
from vesselbench.data.limits.ceiling import Stating
from vesselbench.data.masks import decode
from vesselbench.data.survey import Survey, take_survey
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Example, Mask, MaskFile, Sample, Size

__all__ = ["Check", "Progress", "absent_values", "check_data", "check_samples", "look_at"]

Progress = Callable[[int, int], None]
"""Told how many images of how many are done."""


@dataclass(frozen=True)
class Check:
    """`samples`: those of the `surveyed` ones whose pixels can be read. `findings`: those about the whole set last."""

    root: Path
    samples: tuple[Sample, ...]
    surveyed: tuple[Sample, ...]
    findings: tuple[Finding, ...]
    images: int
    negatives: int
    opened: bool = True
    """Whether images were looked at."""
    advice: str = ""
    """What to say of groups that nobody named; empty where they are known."""

    @property
    def failed(self) -> bool:
        """Whether anything stands in the way of a training."""
        return any(finding.severity == "error" for finding in self.findings)

    def summary(self) -> str:
        """One line: what was looked at."""
        if not self.opened:
            return f"{len(self.samples)} samples; no image was opened"
        groups = len({sample.group for sample in self.samples})
        said = f"no groups: {self.advice}" if self.advice else f"{groups} group{'s' * (groups != 1)}"
        return f"{self.images} images, {len(self.samples)} usable samples, {self.negatives} empty masks, {said}"


@dataclass
class _Walk:
    """What is gathered on the way from image to image."""

    root: Path
    damaged: Collection[str] = ()
    uncertain: Collection[str] = ()
    findings: list[Finding] = field(default_factory=list)
    usable: list[Sample] = field(default_factory=list)
    images: list[ImageFacts] = field(default_factory=list)
    masks: list[MaskFacts] = field(default_factory=list)

    def report(self, error: UserError, place: Place, sample: Sample) -> None:
        """A fault that knows no place of its own is put at `place`; the folder of the data set is left out of texts."""
        finding = as_finding(error, code="unreadable", sample=sample.id)
        if not finding.file:
            finding = replace(finding, file=place.file, index=place.index)
        file, reason = (text.removeprefix(f"{self.root}/") for text in (finding.file, finding.reason))
        self.findings.append(replace(finding, file=file, reason=reason))

    def is_damaged(self, sample: Sample) -> bool:
        """Whether a shape of it was lost to an error, or, where it has none, may have been.

        Findings name the sample, or its image where the target was not known yet, or the file alone.
        """
        if sample.id in self.damaged or sample.id.removesuffix(f":{sample.target}") in self.damaged:
            return True
        return sample.mask == () and Place.of(sample.origin).file in self.uncertain


def check_data(
    config: DataConfig,
    catalogue: Catalogue,
    *,
    annotations_only: bool = False,
    grids_of: Stating | None = None,
    progress: Progress | None = None,
) -> Check:
    """Read all that `config` names, decode every image and mask, and list what is wrong or odd.

    annotations_only: images are neither needed nor opened, mask images not either. grids_of: the grids of a model, to
    say which vessels are too thin for it. Raises UserError as `take_survey`.
    """
    survey = take_survey(config, catalogue, annotations_only)
    if annotations_only:
        findings = [finding for sample in survey.samples for finding in _shapes_alone(sample)]
        return replace(_concluded(survey, survey.samples, findings), opened=False)
    walk = _walk(survey.samples, survey.root, survey, progress)
    findings = walk.findings + list(_whole_set(walk, len(walk.usable) == len(survey.samples)))
    if grids_of is not None:
        findings += thin_structures([sample for sample in walk.usable if not walk.is_damaged(sample)], grids_of)
    return _concluded(survey, tuple(walk.usable), findings, sum(not mask.foreground for mask in walk.masks))


def check_samples(
    samples: Sequence[Sample], root: Path | None = None, progress: Progress | None = None
) -> list[Finding]:
    """The same for samples at hand; `root`: the folder that file names are shown below."""
    walk = _walk(samples, root or Path(), None, progress)
    return walk.findings + list(_whole_set(walk, len(walk.usable) == len(samples)))


def _concluded(survey: Survey, usable: tuple[Sample, ...], findings: list[Finding], negatives: int = 0) -> Check:
    images = len({sample.image for sample in survey.samples})
    found = survey.findings + tuple(findings)
    return Check(survey.root, usable, survey.samples, found, images, negatives, advice=survey.advice)


def _walk(samples: Sequence[Sample], root: Path, survey: Survey | None, progress: Progress | None) -> _Walk:
    walk = _Walk(root) if survey is None else _Walk(root, survey.damaged, survey.uncertain)
    by_image: dict[Path, list[Sample]] = {}
    for sample in samples:
        by_image.setdefault(sample.image, []).append(sample)
    for number, (path, members) in enumerate(by_image.items(), 1):
        place = place_of(path, root)
        try:
            image = examine_image(path, place, members[0].id)
        except UserError as error:
            walk.report(error, place, members[0])
        else:
            walk.findings += image.findings
            walk.images.append(image.facts)
            for sample in members:
                _examine_sample(sample, image, walk)
        if progress is not None:
            progress(number, len(by_image))
    return walk


def _examine_sample(sample: Sample, image: ExaminedImage, walk: _Walk) -> None:
    size, planes = image.facts.size, []
    for mask in (sample.mask, sample.fov, sample.observer2):
        place = place_of(mask.path, walk.root) if isinstance(mask, MaskFile) else Place.of(sample.origin or sample.id)
        try:
            planes.append(None if mask is None else decode(mask, size, place))
        except UserError as error:
            walk.report(error, place, sample)
            return
    example = Example(sample, image.pixels, *planes)
    walk.usable.append(sample)
    walk.findings += examine_shapes(sample, size)
    if walk.is_damaged(sample):
        return  # a shape was lost to an error: what is left says nothing about the sample
    walk.findings += examine_mask(example)
    if facts := facts_of(example):
        walk.masks.append(facts)


def _whole_set(walk: _Walk, complete: bool) -> Iterator[Finding]:
    yield from sets.mixed_modes(walk.images)
    yield from sets.size_outliers(walk.images)
    yield from sets.class_imbalance(walk.masks)
    yield from sets.twin_names(walk.usable, walk.root)
    yield from sets.unmapped_values(walk.usable)
    if complete:  # else a value may stand in one that cannot be read
        yield from absent_values(walk.usable)


def _shapes_alone(sample: Sample) -> Iterator[Finding]:
    """Duplicates always; overlaps where all shapes state one size, which then stands for the image's."""
    sizes = _stated(sample.mask)
    yield from examine_shapes(sample, sizes.pop() if len(sizes) == 1 else None)


def _stated(mask: Mask | None) -> set[Size]:
    shapes = mask if isinstance(mask, tuple) else ()
    sizes = {shape.size for shape in shapes}
    return set() if None in sizes else {size for size in sizes if size is not None}
