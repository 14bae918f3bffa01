"""The first steps of the road: annotation -> Sample -> Example."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from vesselbench.config import DataConfig
from vesselbench.data.findings import tallying
from vesselbench.data.images import DEEP_MODES, open_image, read_image, upright_size
from vesselbench.data.masks import decode
from vesselbench.data.splitting.groups import assign_groups
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Example, MaskFile, Sample, Size

log = logging.getLogger(__name__)
_SHOWN = 5
_MEANT = frozenset({"partly-outside", "self-crossing"})


@runtime_checkable
class DrawnFormat(Protocol):
    """A DatasetFormat that makes its own files: `folder` draws them where they are absent and says where they lie."""

    def folder(self, root: Path | None, options: dict[str, object]) -> Path: ...


@dataclass(frozen=True)
class Source:
    """A data set that can be read: `root` holds its files, `read` yields its Samples, without groups and unchecked."""

    root: Path
    read: Callable[[], Iterator[Sample]]
    meant: frozenset[str] = frozenset()
    """Codes of findings that say nothing here: a format that draws its own files means them so."""


def open_source(config: DataConfig, catalogue: Catalogue) -> Source:
    """The format and folder that a recipe names; UserError for an unknown format or a folder that is not there."""
    found_format = catalogue.datasets[config.format]
    if isinstance(found_format, DrawnFormat):
        given = cast(Path, config.root.expanduser() if config.root else None)  # such a format takes None
        folder = found_format.folder(given, config.options)
        return Source(folder, lambda: found_format.read(given, config.options), _MEANT)
    root = _existing_root(config)
    return Source(root, lambda: found_format.read(root, config.options))


def read_samples(config: DataConfig, catalogue: Catalogue) -> list[Sample]:
    """Every Sample of the data set, each with its group.

    Logs once how many annotations state another size than their image, and how many images are rescaled to 8 bits.
    Raises UserError for a missing root, an empty data set, two samples of one id, files that are missing or lie outside
    the root (through a symbolic link, say), a `group` expression that does not fit, and what the format refuses.
    """
    source = open_source(config, catalogue)
    with tallying(unmentioned=source.meant):
        samples = list(source.read())
    root = source.root
    if not samples:
        raise UserError(f"no samples in {root} (format {config.format!r})", "check data.root and data.options")
    _refuse_equal_ids(samples)
    _refuse_strangers(samples, root)
    samples = assign_groups(samples, root, config)
    _report_conversions(samples)
    return samples


def load_example(sample: Sample) -> Example:
    """The sample with its pixels: image uint8 [H,W,3], masks bool [H,W]; UserError names the file that is broken."""
    image = read_image(sample.image)
    size = (int(image.shape[0]), int(image.shape[1]))
    return Example(
        sample=sample,
        image=image,
        mask=None if sample.mask is None else decode(sample.mask, size, sample.origin or sample.id),
        fov=None if sample.fov is None else decode(sample.fov, size, f"{sample.id} fov"),
        observer2=None if sample.observer2 is None else decode(sample.observer2, size, f"{sample.id} observer2"),
    )


def _existing_root(config: DataConfig) -> Path:
    if config.root is None:
        raise UserError(f"the format {config.format!r} needs a folder", "set data.root=FOLDER, or data.format=phantom")
    root = config.root.expanduser()
    if not root.is_dir():
        raise UserError(f"data.root: {root} is not a folder", "check the path (it is relative to where you start)")
    return root


def _refuse_equal_ids(samples: list[Sample]) -> None:
    seen: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in seen:
            first = seen[sample.id]
            raise UserError(
                f"two samples have the id {sample.id!r}: {first.image} ({first.origin}) and {sample.image} "
                f"({sample.origin})",
                "rename one of the files",
            )
        seen[sample.id] = sample


def files_of(sample: Sample) -> Iterator[Path]:
    """The files that a sample is read from: its image and its mask images."""
    yield sample.image
    for mask in (sample.mask, sample.fov, sample.observer2):
        if isinstance(mask, MaskFile):
            yield mask.path


def _refuse_strangers(samples: list[Sample], root: Path) -> None:
    inside = root.resolve()
    files = list(dict.fromkeys(path for sample in samples for path in files_of(sample)))
    missing = [path for path in files if not is_file(path)]
    if missing:
        listed = ", ".join(str(path) for path in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise UserError(
            f"{len(missing)} of {len(files)} files do not exist: {listed}", "check data.root and data.options"
        )
    for path in files:
        if not path.resolve().is_relative_to(inside):
            raise UserError(f"{path} lies outside {root} (it leads to {path.resolve()})", "copy it into the data set")


def is_file(path: Path) -> bool:
    """Whether a file is there; False for a name that the file system refuses."""
    try:
        return path.is_file()
    except OSError:  # a name that the file system refuses: too long, say
        return False


def _report_conversions(samples: list[Sample]) -> None:
    """Say what decoding will change. A file that cannot be opened is left to `load_example`, which names it."""
    sizes: dict[Path, Size] = {}
    deep = 0
    for path in dict.fromkeys(sample.image for sample in samples):
        try:
            with open_image(path) as image:
                sizes[path] = upright_size(image, path)
                deep += image.mode in DEEP_MODES
        except UserError:
            continue
    scaled = Counter(
        (shape.size, sizes[sample.image])
        for sample in samples
        if sample.image in sizes and isinstance(sample.mask, tuple)
        for shape in sample.mask
        if shape.size is not None and shape.size != sizes[sample.image]
    )
    for (stated, real), count in scaled.most_common():
        log.warning("%d shapes annotated at %dx%d are scaled to images of %dx%d (HxW)", count, *stated, *real)
    if deep:
        log.warning("%d images have more than 8 bits: each is mapped from its own range to 0..255", deep)
