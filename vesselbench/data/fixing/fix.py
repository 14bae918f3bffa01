"""A mended copy of a data set: what the rules of `rules` mend is mended, what they do not is left out, and said."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import Check, check_data
from vesselbench.data.findings import Finding
from vesselbench.data.fixing.documents import Documents, mend_shapes
from vesselbench.data.fixing.negatives import Filled, emptied, filled_in
from vesselbench.data.fixing.record import Fixed, records_of, write_record
from vesselbench.data.fixing.rules import MENDED
from vesselbench.data.fixing.sources import open_documents, refuse_format
from vesselbench.data.folders import free_folder, whole_folder
from vesselbench.data.formats.listing import place_of
from vesselbench.data.read import files_of
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Sample

_ROUNDS = 5
GROUPS = "groups.csv"


def fix_data(config: DataConfig, check: Check, catalogue: Catalogue, folder: Path) -> Fixed:
    """Write a mended copy of what `check` found in `config` into `folder`, in the same format and layout.

    The original is only read. The list of changes lies beside the folder: ``FOLDER.fix.json`` and ``FOLDER.fix.md``.
    What the copy holds has no finding of a code in `rules.MENDED` that a rule applies to, and no error.
    Raises UserError when the folder is not empty or lies within the data set, for a format that cannot be written, for
    an annotation file that is no JSON, and for an error that leaving out images does not end.
    """
    folder = free_folder(folder, [check.root], records_of(folder))
    documents = open_documents(config, check.root, check.samples)
    fixed = Fixed(folder)
    with whole_folder(folder, records_of(folder)) as draft:
        _write_first(documents, check, draft, fixed)
        bare = config.model_copy(update={"root": draft, "groups": None})
        _leave_out_the_rest(bare, catalogue, fixed, filled_in(check))
        if config.groups is not None:
            fixed.groups = _write_groups(draft, check)
        write_record(fixed)  # first: no copy may stand without its list of changes
    return fixed


def refuse_unfixable(config: DataConfig, folder: Path) -> None:
    """UserError when `fix_data` will surely refuse: before the time that a check takes."""
    refuse_format(config.format)
    free_folder(folder, [] if config.root is None else [config.root], records_of(folder))


def _write_groups(draft: Path, check: Check) -> str:
    """A table of groups for the images of the copy: rows of others would be refused. Returns its name."""
    groups = {place_of(sample.image, check.root).file: sample.group for sample in check.samples}
    with (draft / GROUPS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "group"))
        writer.writerows(row for row in sorted(groups.items()) if (draft / row[0]).is_file())
    return GROUPS


def _write_first(documents: Documents, check: Check, draft: Path, fixed: Fixed) -> None:
    """Mend, leave out what cannot be used, and write: annotations anew, images as they are."""
    changes, lost = mend_shapes(documents)
    fixed.changes += changes
    fixed.changes += documents.mend_records()
    fixed.left_out |= lost
    usable = {place_of(sample.image, check.root).file for sample in check.samples}
    owners = _Owners.of(documents, check.surveyed, check.root)
    for finding in check.findings:
        if finding.severity != "error" or finding.code in MENDED or finding.code == "table-unfit":
            continue  # the table of groups is written anew
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
