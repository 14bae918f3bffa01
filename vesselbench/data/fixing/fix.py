"""A mended copy of a data set: what the rules of `rules` mend is mended, what they do not is left out, and said."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import Check, check_data
from vesselbench.data.findings import Finding
from vesselbench.data.fixing.documents import Documents, mend_shapes
from vesselbench.data.fixing.negatives import Filled, emptied, filled_in
from vesselbench.data.fixing.record import write_record
from vesselbench.data.fixing.rules import MENDED, Change
from vesselbench.data.fixing.sources import open_documents
from vesselbench.data.formats.listing import place_of
from vesselbench.data.read import files_of
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Sample

_ROUNDS = 5


@dataclass
class Fixed:
    """What became of a data set. `left_out`: image file -> reason. `remaining`: findings of the copy."""

    folder: Path
    changes: list[Change] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    images: int = 0
    remaining: tuple[Finding, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"written: {self.folder} with {self.images} images; {len(self.changes)} changes, {len(self.left_out)} left "
            f"out: listed in {self.folder}.fix.md and, for machines, {self.folder}.fix.json"
        )


def fix_data(config: DataConfig, check: Check, catalogue: Catalogue, folder: Path) -> Fixed:
    """Write a mended copy of what `check` found in `config` into `folder`, in the same format and layout.

    The original is only read. The list of changes lies beside the folder: ``FOLDER.fix.json`` and ``FOLDER.fix.md``.
    What the copy holds has no finding of a code in `rules.MENDED` that a rule applies to, and no error.
    Raises UserError when the folder is not empty or lies within the data set, for a format that cannot be written, for
    an annotation file that is no JSON, and for an error that leaving out images does not end.
    """
    folder = folder.expanduser().absolute()
    _refuse_taken(folder, check.root)
    documents = open_documents(config, check.root, check.samples)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    fixed = Fixed(folder)
    try:
        _write_first(documents, check, draft, fixed)
        _leave_out_the_rest(config.model_copy(update={"root": draft}), catalogue, fixed, filled_in(check))
        write_record(fixed, *_record_files(folder))  # first: no copy may stand without its list of changes
        if folder.is_dir():
            folder.rmdir()
        draft.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}", "choose another folder") from error
    finally:
        if draft.exists():  # it did not get its name
            for path in _record_files(folder):
                path.unlink(missing_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
    return fixed


def _record_files(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f"{folder.name}.fix.json"), folder.with_name(f"{folder.name}.fix.md")


def _refuse_taken(folder: Path, root: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty", "name a folder that does not exist yet")
    for path in _record_files(folder):
        if path.exists():
            raise UserError(f"{path} exists already", "name another folder, or remove it")
    if folder.resolve().is_relative_to(root.resolve()) or root.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder} and {root} lie in one another", "name a folder beside the data set")


def _write_first(documents: Documents, check: Check, draft: Path, fixed: Fixed) -> None:
    """Mend, leave out what cannot be used, and write: annotations anew, images as they are."""
    changes, lost = mend_shapes(documents)
    fixed.changes += changes
    fixed.changes += documents.mend_records()
    fixed.left_out |= lost
    usable = {place_of(sample.image, check.root).file for sample in check.samples}
    owners = _Owners.of(documents, check.surveyed, check.root)
    for finding in check.findings:
        if finding.severity != "error" or finding.code in MENDED:
            continue
        image = owners.image_of(finding)
        if image is not None:
            fixed.left_out.setdefault(image, f"{finding.code}: {finding.reason}")
    fixed.left_out |= documents.leave_out(set(fixed.left_out))
    kept = [sample for sample in check.samples if place_of(sample.image, check.root).file not in fixed.left_out]
    fixed.images = len(usable - set(fixed.left_out))
    for path in dict.fromkeys(path for sample in kept for path in files_of(sample)):
        target = draft / path.relative_to(check.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _write_documents(documents, draft)


def _leave_out_the_rest(config: DataConfig, catalogue: Catalogue, fixed: Fixed, filled: Filled) -> None:
    """Check the copy; leave out images that still have an error, then what became empty, until there is neither."""
    assert config.root is not None
    for _ in range(_ROUNDS):
        check = check_data(config, catalogue)
        fixed.remaining = check.findings
        errors = [finding for finding in check.findings if finding.severity == "error"]
        before, empty = len(fixed.left_out), {} if errors else emptied(filled, check, fixed.left_out)
        if not errors and not empty:
            return
        fixed.left_out |= empty
        documents = open_documents(config, config.root, check.samples)
        owners = _Owners.of(documents, check.surveyed, config.root)
        for finding in errors:
            image = owners.image_of(finding)
            if image is not None:
                fixed.left_out.setdefault(image, f"{finding.code}: {finding.reason}")
        if len(fixed.left_out) == before:
            reason = f"{errors[0].where}: {errors[0].reason}"
            raise UserError(f"cannot be mended: {reason} [{errors[0].code}]", errors[0].cure)
        _remove_documents(documents, config.root)
        fixed.left_out |= documents.leave_out(set(fixed.left_out))
        gone = {sample for sample in check.surveyed if place_of(sample.image, config.root).file in fixed.left_out}
        for path in {path for sample in gone for path in files_of(sample)}:
            path.unlink(missing_ok=True)
        fixed.images -= len({sample.image for sample in gone})
        _write_documents(documents, config.root)
    raise UserError("cannot be mended: new errors appear again and again", "mend by hand what `data check` lists")


@dataclass(frozen=True)
class _Owners:
    """Which image, as a path below the root, a finding is about: by its file, its record, or its sample."""

    documents: Documents
    by_file: dict[str, str]
    by_sample: dict[str, str]

    @classmethod
    def of(cls, documents: Documents, samples: tuple[Sample, ...], root: Path) -> _Owners:
        named = {sample.id: place_of(sample.image, root).file for sample in samples}
        files = {place_of(path, root).file: named[sample.id] for sample in samples for path in files_of(sample)}
        return cls(documents, files, named)

    def image_of(self, finding: Finding) -> str | None:
        """The image; the finding's own file where no image is known; None for a finding about no file."""
        known = self.by_file.get(finding.file) or self.documents.image_of(finding)
        return known or self.by_sample.get(finding.sample) or finding.file or None


def _write_documents(documents: Documents, root: Path) -> None:
    for file, value in documents.files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = json.dumps(value)
        except RecursionError:
            raise UserError(f"{file} cannot be mended: it is nested too deeply", "export it again") from None
        path.write_text(text + "\n", encoding="utf-8")


def _remove_documents(documents: Documents, root: Path) -> None:
    for file in documents.files:
        (root / file).unlink(missing_ok=True)
