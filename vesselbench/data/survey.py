"""Read a data set to the end, whatever is wrong with it: what can be used, and a Finding for all that cannot."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.findings import Fault, Finding, Place, collecting, each, warn
from vesselbench.data.images import SUFFIXES, image_size
from vesselbench.data.masks import examine_reach, refuse_swapped
from vesselbench.data.read import files_of, is_file, open_source
from vesselbench.data.splitting.columns import Row, read_rows
from vesselbench.data.splitting.groups import KEYS, advice, group_expression, group_of, groups_of_rows
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Polygons, Rle, Sample, Size


@dataclass(frozen=True)
class Survey:
    """`samples` have files that exist and well-formed annotations; pixels are not decoded yet. `root` holds them."""

    root: Path
    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...]
    advice: str = ""
    """What to say of groups that nobody named, see `vesselbench.data.splitting.groups.advice`."""

    @property
    def damaged(self) -> frozenset[str]:
        """Ids of samples (or of their images) that lost a shape or record to an error: an empty mask is no negative."""
        return frozenset(f.sample for f in self.findings if f.severity == "error" and f.sample)

    @property
    def uncertain(self) -> frozenset[str]:
        """Annotation files with an error that belongs to no known image: what was lost may be any image's."""
        return frozenset(f.file for f in self.findings if f.severity == "error" and f.index and not f.sample)


def take_survey(config: DataConfig, catalogue: Catalogue, annotations_only: bool = False) -> Survey:
    """Read everything that `config` names. With `annotations_only` no image need be there, and none is looked for.

    Raises UserError only for what is no fault of the data: an unknown format, a missing folder, a malformed
    ``data.group``, a file ``data.groups`` that is no table of groups. A format that raises a UserError of its own ends
    the reading with one finding, ``refused``.
    """
    expression = group_expression(config.group)
    rows = None if config.groups is None else read_rows(config.groups, "group", KEYS)
    try:
        source = open_source(config, catalogue)
    except Fault as fault:  # of a format that has to read its files before it can say where the samples lie
        return Survey(config.root or Path(), (), (fault.finding(),))
    samples: list[Sample] = []
    said = ""
    with collecting() as findings:
        for sample in source.read():  # one at a time: what was read before a refusal stands
            samples.append(sample)
    with collecting() as later:
        if not samples and not findings:
            cure = "check data.root and data.options"
            raise Fault("no-samples", "", f"no samples in {source.root} (format {config.format!r})", cure)
        mentioned = {path for sample in samples for path in files_of(sample)}
        samples = list(_unlike(samples))
        if rows is not None and config.groups is not None:
            samples = list(_of_rows(samples, config.groups, rows, source.root))
        if not annotations_only:
            samples = list(_present(samples, source.root))
            said = advice(samples, source.root, config)
            if rows is None:
                samples = list(_by_path(samples, source.root, expression))
            samples = list(_compared(samples))
            _report_unlisted(samples, source.root, mentioned, findings + later)
    kept = [finding for finding in findings + later if finding.code not in source.meant]
    return Survey(source.root, tuple(samples), tuple(kept), said)


def _of_rows(samples: Sequence[Sample], path: Path, rows: Sequence[Row], root: Path) -> Iterator[Sample]:
    groups = groups_of_rows(samples, path, rows)
    for sample in samples:
        place = _below(sample.image, root)
        with each(place, sample.id):
            if sample.id not in groups:
                raise Fault("group-not-found", place, f"{path} names no group for it", "add a row for it")
            yield replace(sample, group=groups[sample.id])


def _by_path(samples: Iterable[Sample], root: Path, expression: re.Pattern[str] | None) -> Iterator[Sample]:
    for sample in samples:
        with each(_below(sample.image, root), sample.id):
            yield replace(sample, group=group_of(sample, root, expression))


def _unlike(samples: Iterable[Sample]) -> Iterator[Sample]:
    seen: dict[str, Sample] = {}
    for sample in samples:
        if sample.id not in seen:
            seen[sample.id] = sample
            yield sample
            continue
        with each(sample.origin, sample.id):
            reason = f"the id {sample.id!r} is that of {seen[sample.id].origin}, too"
            raise Fault("duplicate-sample", Place.of(sample.origin), reason, "rename one of the files")


def _present(samples: Iterable[Sample], root: Path) -> Iterator[Sample]:
    inside = root.resolve()
    for sample in samples:
        files = list(files_of(sample))
        standing: list[Path] = []
        for path in files:
            place = _below(path, root)
            with each(place, sample.id):
                if not is_file(path):
                    _refuse_outside(Path(os.path.normpath(path)), Path(os.path.normpath(root)), place)
                    raise Fault("missing-file", place, "the file does not exist", "add it, or remove its annotation")
                _refuse_outside(path.resolve(), inside, place)
                standing.append(path)
        if standing == files:
            yield sample


def _refuse_outside(path: Path, root: Path, place: Place) -> None:
    if not path.is_relative_to(root):
        raise Fault("outside-root", place, f"it lies outside {root}, at {path}", "copy it into the data set")


def _compared(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, their shapes held against the size of the image. One that cannot be opened is left to the check."""
    sizes: dict[Path, Size | None] = {}
    for sample in samples:
        if not isinstance(sample.mask, tuple):
            yield sample
            continue
        if sample.image not in sizes:
            sizes[sample.image] = _size(sample.image)
        size = sizes[sample.image]
        yield sample if size is None else _compare(sample, sample.mask, size)


def _compare(sample: Sample, shapes: tuple[Polygons | Rle, ...], size: Size) -> Sample:
    stated = Counter(shape.size for shape in shapes if shape.size not in (None, size, size[::-1]))
    for other, count in stated.items():
        assert other is not None
        shapes_of = f"{count} shape{'s' * (count != 1)}"
        reason = f"{shapes_of} annotated at {other[0]}x{other[1]}, the image is {size[0]}x{size[1]} (HxW)"
        if same_aspect(other, size):
            cure = "fine if the image was resized after it was annotated: they are scaled"
            warn("size-differs", Place.of(sample.origin), reason, cure, sample.id)
        else:
            cure = "look whether it is the right image; until then they are stretched to it"
            warn("aspect-differs", Place.of(sample.origin), reason, cure, sample.id)
    kept: list[Polygons | Rle] = []
    for number, shape in enumerate(shapes):
        place = Place.of(sample.origin if len(shapes) == 1 else f"{sample.origin} shape[{number}]")
        with each(place, sample.id):
            refuse_swapped(shape.size, size, place)
            if isinstance(shape, Polygons) and shape.size is None:
                examine_reach(shape, size, place, sample.id)
            kept.append(shape)
    return replace(sample, mask=tuple(kept))


def same_aspect(one: Size, other: Size) -> bool:
    """Whether one size is the other scaled, but for the rounding of a side by up to a pixel."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _report_unlisted(samples: Iterable[Sample], root: Path, mentioned: set[Path], findings: Sequence[Finding]) -> None:
    """Warn of image files beside those of the samples that no record mentions and none of `findings` is about."""
    known = {finding.file for finding in findings}
    lost = tuple(f"/{finding.sample}" for finding in findings if finding.severity == "error" and finding.sample)
    for folder in sorted({sample.image.parent for sample in samples}):
        for name in sorted(os.listdir(folder)):
            path = folder / name
            hidden = name.startswith(".") or path.suffix.lower() not in SUFFIXES
            if (
                hidden
                or path in mentioned
                or _below(path, root).file in known
                or f"/{path.with_suffix('')}".endswith(lost)
            ):
                continue
            cure = "annotate it (an empty annotation is a negative), or take it out"
            warn("image-not-listed", _below(path, root), "no annotation mentions this image", cure)


def _size(path: Path) -> Size | None:
    try:
        return image_size(path)
    except UserError:
        return None


def _below(path: Path, root: Path) -> Place:
    return Place(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())
