"""Check a bundle: its files by their hashes, its scores from its masks, its comparison from its scores."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.compare import compare, with_ladder
from vesselbench.comparing.scored import ScoredRun, read_scored
from vesselbench.errors import UserError
from vesselbench.evidence.bundle import COMPARISON, FORM, MANIFEST, manifest_sha256
from vesselbench.evidence.contents import RUNS
from vesselbench.evidence.differing import Difference
from vesselbench.evidence.gallery import bundled_gallery
from vesselbench.evidence.history import hold_history, without_history
from vesselbench.evidence.recompute import QUANTISED, Recomputed, read_references, recompute_rows, summaries
from vesselbench.evidence.rungs import Rungs
from vesselbench.evidence.unpack import Unpacked, unpack
from vesselbench.ladder import read_ladder
from vesselbench.plugins import Catalogue
from vesselbench.provenance import versions
from vesselbench.report.record import comparison_record
from vesselbench.rundir import RunDir, check_set_name, file_sha256, read_json
from vesselbench.watch import Watch

NO_LADDER = "no ladder: the bundle was made of runs, not of a comparison's folder"
NO_IMAGES = "no images in the bundle"
FINGERPRINT = "fingerprint of the split: it covers the files of all sets, which no bundle holds"
FILTERS_BY = "scikit-image"
"""The package whose filters the ladder draws; another version may draw other pixels."""
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What reading a file raises that somebody has rewritten: its place or kind is wrong, and the bundle does not hold."""


@dataclass(frozen=True)
class Verification:
    """What came of it: the sentence that the bundle states, differences, numbers recomputed, and what could not be."""

    verdict: str
    files: int
    images: int
    runs: int
    numbers: int
    differences: tuple[str, ...]
    left_out: dict[str, int]
    """How many numbers are taken as stated, by "what: why"."""
    has_ladder: bool
    rough: int
    """Of the numbers, those of 16-bit probabilities, to within 1e-3."""
    stopped: str = ""
    """Why not everything could be computed again; empty when it was."""

    @property
    def holds(self) -> bool:
        return not self.differences and not self.stopped

    def lines(self) -> list[str]:
        """What to print."""
        said = [
            f"{self.files} files, {self.images} images, {self.runs} runs",
            f"recomputed: {self.numbers:,} numbers, each equal to within 1e-9 unless it is named below",
        ]
        if self.rough:
            said.append(f"of these {self.rough:,} from 16-bit probabilities, equal to within {QUANTISED:g}")
        for reason, count in self.left_out.items():
            said.append(f"taken as stated: {count:,} ({reason})")
        said += [] if self.has_ladder else [NO_LADDER]
        said += [f"DIFFERS: {difference}" for difference in self.differences]
        said += [f"STOPPED: {self.stopped}"] if self.stopped else []
        said.append(f"stated verdict: {self.verdict}")
        many = f"{len(self.differences)} difference{'' if len(self.differences) == 1 else 's'}"
        unfinished = ", and not everything could be computed again" if self.stopped else ""
        judged = "holds: " if self.holds else f"does not hold: {many}{unfinished}; "
        said.append(f"{judged}{self.numbers:,} numbers recomputed, {self.taken()}")
        return said

    def taken(self) -> str:
        """How many numbers are taken as stated, which and why."""
        reasons: dict[str, list[str]] = {}
        for what, _, why in (reason.partition(": ") for reason in self.left_out):
            reasons.setdefault(why, []).append(what)
        named = "; ".join(f"{', '.join(whats)}: {why}" for why, whats in reasons.items())
        return f"{sum(self.left_out.values()):,} taken as stated ({named})" if named else "none taken as stated"


def verify(bundle: Path, catalogue: Catalogue, watch: Watch) -> Verification:
    """Recompute every number of a bundle and name each that differs, and what cannot be computed any more.

    Raises UserError for what is no bundle, is one of another version, or is unsafe to unpack.
    """
    with tempfile.TemporaryDirectory(prefix="vesselbench-verify-") as place:
        folder = Path(place)
        opened = Opened(folder, unpack(bundle, folder))
        if MANIFEST not in (*opened.unpacked.paths, *opened.unpacked.damaged):
            raise UserError(
                f"{bundle} is no bundle: it holds no {MANIFEST}", "vesselbench bundle RUNS... --to FILE.zip"
            )
        try:
            opened.manifest = _read_manifest(opened)
            if opened.manifest.get("form") == FORM:
                _hold_files(opened)
                _recompute(opened, catalogue, watch)
        except UserError as error:
            return opened.outcome(error.message.replace(f"{folder}/", ""))
        except MALFORMED as error:
            return opened.outcome(f"a file has not the form in which this version writes it: {error!r}")
        if opened.manifest.get("form") != FORM:
            raise UserError(f"{bundle} has another layout than this version reads", "use the version that wrote it")
        return opened.outcome()


@dataclass
class Opened:
    """A bundle that is being checked: where it was unpacked, and what has come of it so far."""

    folder: Path
    unpacked: Unpacked
    manifest: dict[str, Any] = field(default_factory=dict)
    record: Any = None
    done: Recomputed = field(default_factory=Recomputed)
    images: list[str] = field(default_factory=list)
    runs: list[ScoredRun] = field(default_factory=list)

    def outcome(self, stopped: str = "") -> Verification:
        """What has come of it; `stopped`: why it did not go on."""
        return Verification(
            verdict=str(self.record.get("verdict")) if isinstance(self.record, dict) else "none could be read",
            files=len(self.unpacked.paths) + len(self.unpacked.damaged),
            images=len(self.images),
            runs=len(self.runs),
            numbers=self.done.comparing.numbers,
            differences=tuple(str(difference) for difference in self.done.differences),
            left_out=dict(self.done.left_out),
            has_ladder=isinstance(self.record, dict) and self.record.get("ladder") is not None,
            rough=self.done.rough,
            stopped=stopped,
        )


def _read_manifest(opened: Opened) -> dict[str, Any]:
    if MANIFEST in opened.unpacked.damaged:
        raise UserError(f"{MANIFEST} is damaged in the zip file: {opened.unpacked.damaged[MANIFEST]}")
    manifest = read_json(opened.folder / MANIFEST)
    if not isinstance(manifest, dict):
        raise UserError(f"{MANIFEST} is no mapping")
    return manifest


def _hold_files(opened: Opened) -> None:
    """Every file is listed, every listed one is there, and each has its hash; so has the list."""
    listed, done = dict(opened.manifest.get("files") or {}), opened.done
    done.hold(opened.manifest.get("sha256"), manifest_sha256(opened.manifest), f"SHA-256 of {MANIFEST}")
    found = {name: file_sha256(opened.folder / name) for name in opened.unpacked.paths if name != MANIFEST}
    found |= {name: f"damaged in the zip file: {why}" for name, why in opened.unpacked.damaged.items()}
    for name in sorted({*listed, *found}):
        if listed.get(name) != found.get(name):
            stated, now = listed.get(name, "not listed"), found.get(name, "no such file")
            done.differences.append(Difference(f"SHA-256 of {name}", stated, now))


def _recompute(opened: Opened, catalogue: Catalogue, watch: Watch) -> None:
    folder, manifest, done, paths = opened.folder, opened.manifest, opened.done, opened.unpacked.paths
    record = opened.record = read_json(folder / COMPARISON)
    set_name = check_set_name(str(manifest.get("set_name")))
    names = [f"{RUNS}/{name}" for name in manifest.get("runs") or ()]
    if not names or any(f"{name}/run.json" not in paths for name in names):
        raise UserError(f"the bundle holds not all the runs that it names: {names}", "ask for the bundle again")
    runs = opened.runs = [read_scored(RunDir.open(folder / name), set_name) for name in names]
    rungs = _rungs(record, runs[0], catalogue, manifest)
    images, total = opened.images, len(runs[0].scores.rows)
    for example in read_references(folder, images=bool(manifest.get("images"))):
        images.append(example.sample.id)
        recompute_rows(folder, runs, example, catalogue, done)
        if rungs is not None:
            rungs.score(example)
        watch.progress("verify", len(images), total)
    done.hold(sorted(row.id for row in runs[0].scores.rows), sorted(images), "images")
    for run in runs:
        stated, found = summaries(run, catalogue)
        done.hold(stated, json.loads(json.dumps(found)), f"{run.where}, summary.json")
        where = f"{run.where}, weights_sha256 of run.json"
        done.hold(run.record.get("weights_sha256"), run.scores.weights_sha256, where)
        done.hold(run.split.fingerprint, run.scores.fingerprint, f"{run.where}, fingerprint of split.json")
    again = compare([run.run for run in runs], set_name, float(manifest["margin"]))
    if rungs is not None:
        rungs.hold(done)
        again = with_ladder(again, rungs.stated)
    withheld = bool(manifest.get("pseudonymised"))
    found = comparison_record(again, bundled_gallery(again, folder), pseudonymised=withheld)
    done.hold(without_history(record), without_history(json.loads(json.dumps(found))), COMPARISON)
    if set_name == "test":
        hold_history(record.get("scorings"), runs, done)
    done.left_out[FINGERPRINT] += 1


def _rungs(record: dict[str, Any], run: ScoredRun, catalogue: Catalogue, manifest: Mapping[str, Any]) -> Rungs | None:
    """What measures the ladder again; None where the comparison has none."""
    if record.get("ladder") is None:
        return None
    drawn_by, here = dict(manifest.get("versions") or {}).get(FILTERS_BY), versions()[FILTERS_BY]
    other = "" if drawn_by == here else f"drawn by {FILTERS_BY} {drawn_by}, and {here} is installed"
    blind = other if manifest.get("images") else NO_IMAGES
    withheld = bool(manifest.get("pseudonymised"))
    return Rungs(read_ladder(record["ladder"], COMPARISON), run, catalogue, withheld=withheld, blind=blind)
