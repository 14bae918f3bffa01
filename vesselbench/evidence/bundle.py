"""Write a comparison as one zip file that others can check."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vesselbench.compare import compare, with_ladder
from vesselbench.comparing.comparison import Comparison
from vesselbench.errors import UserError
from vesselbench.evidence.contents import run_folder, write_contents
from vesselbench.evidence.differing import Comparing
from vesselbench.evidence.gallery import bundled_gallery
from vesselbench.evidence.history import refuse_broken_history
from vesselbench.ladder import read_ladder
from vesselbench.plugins import Catalogue
from vesselbench.provenance import versions
from vesselbench.report.pseudonyms import as_it_is, pseudonymise
from vesselbench.report.record import comparison_record
from vesselbench.rundir import RunDir, file_sha256, read_json, write_json
from vesselbench.watch import Watch

MANIFEST, COMPARISON = "bundle.json", "comparison.json"
FORM = 3
"""Version of the layout; a bundle of another one is not read."""
SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""The date of every entry: equal contents give an equal file, and nobody learns when."""


@dataclass(frozen=True)
class Wish:
    """What a bundle is to hold beside the masks, and whether it shows names."""

    images: bool = False
    pseudonymised: bool = False


def named_runs(paths: Sequence[Path]) -> tuple[list[RunDir], dict[str, Any] | None]:
    """The runs that run folders, or one folder of a comparison, stand for; the record of the comparison."""
    if len(paths) == 1 and (paths[0] / COMPARISON).is_file():
        record = read_json(paths[0] / COMPARISON)
        root = paths[0].resolve().parents[1]
        try:
            found = [root / str(seed["run"]) for contender in record["runs"] for seed in contender["seeds"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"{paths[0] / COMPARISON} names no runs: {error!r}", "give the run folders") from None
        return [RunDir.open(path) for path in found], record
    return [RunDir.open(path) for path in paths], None


def write_bundle(paths: Sequence[Path], to: Path, wish: Wish, catalogue: Catalogue, watch: Watch) -> Path:
    """Write the comparison of scored runs, or of a comparison's folder, into the new file `to`.

    It holds the predicted masks, the references and fields of view, scores, recipes, split, versions and hashes, and
    of the images nothing unless ``wish.images``. Raises UserError when `to` exists, when the runs say something else
    now than the comparison's folder, when the ledger of the test set is broken or not the one in which they were scored
    (see `refuse_broken_history`), and all that `compare` and the reading of data and predictions refuse.
    """
    if to.exists():
        raise UserError(f"{to} exists already", "name a file that does not exist yet with --to")
    runs, record = named_runs(paths)
    comparison = compare(runs, margin=None if record is None else float(record["margin"]))
    if record is not None:
        _refuse_outdated(record, comparison, paths[0])
    refuse_broken_history(comparison)
    shown = pseudonymise(comparison) if wish.pseudonymised else as_it_is(comparison)
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as place:
        folder, draft = Path(place) / "bundle", Path(place) / to.name
        write_contents(shown, folder, catalogue, wish.images, watch)
        copies = [run_folder(folder, seed) for contender in shown.original.runs for seed in contender.seeds]
        held = compare(copies, comparison.set_name, comparison.margin)
        if record is not None and record.get("ladder") is not None:
            held = with_ladder(held, read_ladder(record["ladder"], paths[0] / COMPARISON))
        held = replace(held, scorings=shown.comparison.scorings)
        stated = comparison_record(held, bundled_gallery(held, folder), pseudonymised=wish.pseudonymised)
        write_json(folder / COMPARISON, stated)
        write_json(folder / MANIFEST, _manifest(folder, held, wish))
        _zip(folder, draft)
        os.replace(draft, to)
    return to


def _refuse_outdated(record: dict[str, Any], comparison: Comparison, path: Path) -> None:
    """The pairs must be those of the report: the runs may have been scored again since."""
    now = json.loads(json.dumps(comparison_record(comparison)))
    changed = next(Comparing().differences(record.get("pairs"), now["pairs"], "pairs"), None)
    if changed is not None:
        raise UserError(
            f"the runs of {path} say something else now than its report: {changed}",
            "write the report again (vesselbench report RUNS...), then bundle that",
        )


def _manifest(folder: Path, comparison: Comparison, wish: Wish) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "form": FORM,
        "set_name": comparison.set_name,
        "runs": [seed.where for contender in comparison.runs for seed in contender.seeds],
        "margin": comparison.margin,
        "images": wish.images,
        "pseudonymised": wish.pseudonymised,
        "versions": versions(),
        "files": {path.relative_to(folder).as_posix(): file_sha256(path) for path in files},
    }
    return {**manifest, "sha256": manifest_sha256(manifest)}


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its own hash, as JSON with sorted keys."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _zip(folder: Path, to: Path) -> None:
    """Every file of the folder in the order of its path; pictures are compressed already."""
    try:
        with zipfile.ZipFile(to, "x") as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), SAME_TIME)
                entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".png" else zipfile.ZIP_DEFLATED
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, path.read_bytes())
    except OSError as error:
        raise UserError(
            f"cannot write {to}: {error.strerror or error}", "free space or choose another folder"
        ) from error
