"""The annotation files of a data set, opened for mending by its format's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.findings import collecting
from vesselbench.data.fixing.coco import CocoFiles
from vesselbench.data.fixing.documents import Bare, Documents, read_files
from vesselbench.data.fixing.formats import LabelMeFiles, Sa2VAFile
from vesselbench.data.formats.arcade import ArcadeOptions
from vesselbench.data.formats.coco import CocoOptions, annotation_files
from vesselbench.data.formats.coco_files import ImageFolders
from vesselbench.data.formats.labelme import LabelMeOptions
from vesselbench.data.formats.listing import files_by_stem, place_of
from vesselbench.data.formats.sa2va import Sa2VAOptions
from vesselbench.data.images import image_size
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import Sample, Size

WRITABLE = ("arcade", "coco", "labelme", "pairs", "sa2va")


def refuse_format(name: str) -> None:
    """UserError for a format that cannot be written back."""
    if name not in WRITABLE:
        raise UserError(f"the format {name!r} cannot be written back", f"{', '.join(WRITABLE)} can be mended")


def open_documents(config: DataConfig, root: Path, samples: Sequence[Sample]) -> Documents:
    """The files that the format of `config` reads below `root`; UserError for one that cannot be written back.

    `samples`: those whose images can be read.
    """
    refuse_format(config.format)
    sizes = {place_of(path, root).file: image_size(path) for path in {sample.image for sample in samples}}
    if config.format == "pairs":
        return Bare()
    if config.format == "sa2va":
        chosen = validate_options(Sa2VAOptions, config.options, "data.options.")
        return Sa2VAFile(read_files(root, [root / chosen.annotations]), chosen.images.strip("/"), sizes)
    if config.format == "labelme":
        return _labelme(validate_options(LabelMeOptions, config.options, "data.options."), root, sizes)
    if config.format == "coco":
        named = validate_options(CocoOptions, config.options, "data.options.")
        files = annotation_files(root, named.annotations)
        folders = {place_of(path, root).file: ImageFolders.beside(path, root, named.images) for path in files}
        return CocoFiles(read_files(root, files), root, folders, sizes)
    if config.format == "arcade":
        arcade = validate_options(ArcadeOptions, config.options, "data.options.")
        stems = {f"{arcade.task}/{name}/annotations/{name}.json": name for name in dict.fromkeys(arcade.sets)}
        folders = {file: ImageFolders((root / arcade.task / name / "images",)) for file, name in stems.items()}
        return CocoFiles(read_files(root, [root / file for file in stems]), root, folders, sizes)
    raise AssertionError(f"{config.format} is among WRITABLE")


def _labelme(chosen: LabelMeOptions, root: Path, sizes: dict[str, Size]) -> LabelMeFiles:
    """Pairs of annotation and image by stem; what is alone has a finding of its own and is not copied."""
    with collecting():  # two files of one stem: found by the check already
        images = files_by_stem(root, chosen.images, "data.options.images")
        files = files_by_stem(root, chosen.annotations, "data.options.annotations", {".json"})
    both = {files[stem]: images[stem] for stem in files.keys() & images.keys()}
    usable = {path: image for path, image in sorted(both.items()) if place_of(image, root).file in sizes}
    return LabelMeFiles.read(root, usable, sizes)
