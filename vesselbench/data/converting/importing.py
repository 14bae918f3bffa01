"""A checked, self-contained copy of a data set, on request without the names of patients, images and files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import check_data
from vesselbench.data.converting.convert import Conversion, Progress, names_in, record_file, write_copy
from vesselbench.data.converting.names import Names, hidden_names, own_names
from vesselbench.data.converting.scene import WriteOptions
from vesselbench.data.folders import beside, free_folder
from vesselbench.data.read import open_source, read_samples
from vesselbench.data.splitting.groups import path_below
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.rundir import write_json
from vesselbench.types import Sample


@dataclass(frozen=True)
class Imported:
    """The copy; `mapping`: the file that turns its names back, None when names were kept. `warnings`: of the check."""

    conversion: Conversion
    mapping: Path | None
    warnings: int
    phrases: tuple[str, ...] = ()
    """All targets and prompts: they are in the copy as they stand."""


def import_data(
    config: DataConfig,
    catalogue: Catalogue,
    folder: Path,
    form: str | None = None,
    *,
    pseudonymise: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Check what `config` names and write it into `folder`, new or empty.

    `form`: a format that `convert_data` writes; None: pairs when there are fields of view or second observers, which no
    other holds, else coco. With `pseudonymise` images and groups are called by keyed hashes, images are drawn anew from
    their pixels, so that no EXIF, PNG text, DICOM tag or JSON key of the source is in the copy, and the names stand in
    ``FOLDER.mapping.csv`` beside it, which its owner alone may read. Letters burnt into the pixels stay.
    Raises UserError when the check finds an error, and as `convert_data`.
    """
    source = open_source(config, catalogue).root
    folder = free_folder(folder, [source] + ([config.root] if config.root else []), [record_file(folder)])
    mapping = beside(folder, "mapping.csv") if pseudonymise else None
    if mapping is not None and mapping.exists():
        raise UserError(f"{mapping} exists already", "name another folder, or move it to a safe place")
    warnings = _refuse_faulty(config, catalogue)
    samples = read_samples(config, catalogue)
    names = hidden_names(samples) if pseudonymise else own_names(samples)
    chosen = form or ("pairs" if any(sample.fov or sample.observer2 for sample in samples) else "coco")
    names = names_in(chosen, names)
    if mapping is not None:
        _write_mapping(mapping, samples, names, source)
    try:
        done = write_copy(samples, names, folder, chosen, WriteOptions(), catalogue, progress)
    except BaseException:  # an interrupted copy leaves no list of patients behind
        if mapping is not None:
            mapping.unlink()
        raise
    write_json(record_file(folder), done.record())
    phrases = sorted({text for sample in samples for text in (sample.target, sample.prompt)})
    return Imported(done, mapping, warnings, tuple(phrases))


def _refuse_faulty(config: DataConfig, catalogue: Catalogue) -> int:
    """UserError when the check finds an error; else the number of its warnings."""
    findings = check_data(config, catalogue).findings
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        first, many = errors[0], f"{len(errors)} error{'s' * (len(errors) != 1)}"
        said = ": ".join(part for part in (first.where, first.reason) if part)
        raise UserError(
            f"the check finds {many}, the first: {said} [{first.code}]",
            "`vesselbench data check` lists all, and with --fix writes a mended copy to import",
        )
    return sum(finding.severity == "warning" for finding in findings)


def _write_mapping(path: Path, samples: Sequence[Sample], names: Names, root: Path) -> None:
    """kind, original, pseudonym: a row for each image, by its path below the source, and for each group."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", "original", "pseudonym"))
    images = {path_below(root, sample): names.stems[sample.image] for sample in samples}
    writer.writerows(("image", original, images[original]) for original in sorted(images))
    writer.writerows(("group", original, names.groups[original]) for original in sorted(names.groups))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
    except FileExistsError:
        raise UserError(f"{path} exists already", "name another folder, or move it to a safe place") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", "choose another folder") from error
