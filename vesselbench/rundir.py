"""A run directory: the only code that knows its file names. Layout: docs/run-directory.md.

Files are written under a temporary name, synced and renamed: under its final name a file is always whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vesselbench.errors import UserError
from vesselbench.types import SET_NAMES, ScoreRow, Scores, SetName, Split

UNFINISHED = "unfinished"
"""Of the files of lines (`part_name`) in which an evaluation notes what is scored."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write whole or not at all; UserError when the disk refuses (full, read-only, no permission)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # where not even the folder could be made there is nothing to remove
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}",
            "free space or choose another folder; nothing was overwritten",
        ) from error


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, default=str) + "\n")


def write_jsonl(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_text(path, "".join(json.dumps(value, allow_nan=False) + "\n" for value in values))


def append_jsonl(path: Path, values: Mapping[str, Any]) -> None:
    """Append one JSON object as a line, whole or not at all; UserError when the disk refuses."""
    try:
        with open(path, "ab") as file:
            size = file.tell()
            try:
                file.write((json.dumps(values, allow_nan=False) + "\n").encode())
                file.flush()
            except OSError:
                file.truncate(size)  # no half line stays behind
                raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "free space on the disk") from error


def read_json(path: Path) -> Any:
    """Read JSON; UserError names the file and the place when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", "the run is not complete; train or evaluate it again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON: {error}", "the file was damaged after it was written") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line; UserError names file and line."""
    if not path.is_file():
        raise UserError(f"{path} does not exist", "the run is not complete; train or evaluate it again")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f"{path} line {number} is not JSON: {error}", "the file was damaged") from None
    return rows


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk (where the system has that; else nothing)."""
    with suppress(OSError):  # some network file systems refuse it
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class RunDir:
    """Paths of one run: ``<root>/<recipe>/<time>-<4 hex>``."""

    path: Path

    @classmethod
    def new(cls, root: Path, name: str) -> RunDir:
        """Make a fresh folder below `root`; never an existing one."""
        path = fresh_path(root, name)
        try:
            path.mkdir(parents=True, exist_ok=False)
        except OSError as error:
            raise UserError(
                f"cannot make the run folder {path}: {error.strerror}", "choose another --runs folder"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """An existing run; UserError when the folder holds no run.json."""
        if not (path / "run.json").is_file():
            raise UserError(f"{path} is not a run directory (no run.json)", "give the folder below runs/<recipe>/")
        return cls(path)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def plan_file(self) -> Path:
        """What self-configuration chose, and why; there when the recipe left keys to it."""
        return self.path / "plan.yaml"

    @property
    def record_file(self) -> Path:
        return self.path / "run.json"

    @property
    def split_file(self) -> Path:
        return self.path / "split.json"

    @property
    def train_log(self) -> Path:
        return self.path / "train.jsonl"

    @property
    def validation_log(self) -> Path:
        return self.path / "validations.jsonl"

    @property
    def report(self) -> Path:
        """Folder of the training report."""
        return self.path / "report"

    @property
    def sign_of_life(self) -> Path:
        """Touched by the process that works on the run."""
        return self.path / ".alive"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def evaluation(self, set_name: SetName) -> Path:
        """Folder of the scores of one set: scores.jsonl, summary.json, predictions/."""
        return self.path / "eval" / set_name

    def prediction_file(self, set_name: SetName, sample_id: str) -> Path:
        """The binary mask of one prediction. The id is quoted so that it cannot leave the folder."""
        return self.evaluation(set_name) / "predictions" / f"{file_name(sample_id)}.png"

    def probability_file(self, set_name: SetName, sample_id: str) -> Path:
        """The probabilities of one prediction, 16 bits a pixel, where evaluation.store_probabilities asks for them."""
        return self.evaluation(set_name) / "probabilities" / f"{file_name(sample_id)}.png"

    def unfinished_files(self, set_name: SetName) -> list[Path]:
        """What the processes of an evaluation have scored so far; gone when it is complete."""
        return parts_of(self.evaluation(set_name), UNFINISHED)

    def spool_folder(self, set_name: SetName) -> Path:
        """Predictions of an evaluation that has no threshold yet; gone when it is complete."""
        return self.evaluation(set_name) / "spool"

    def observer_file(self, set_name: SetName) -> Path:
        """Scores of the second observer, one row a line as in scores.jsonl."""
        return self.evaluation(set_name) / "observer2.jsonl"

    def ledger_file(self, set_name: SetName) -> Path:
        """Which line of the test set's ledger the last scoring is: `test_set`, `number`, `sha256`, `weights_sha256`."""
        return self.evaluation(set_name) / "ledger.json"

    def record(self) -> dict[str, Any]:
        """The contents of run.json."""
        record: dict[str, Any] = read_json(self.record_file)
        return record

    def update(self, **values: Any) -> None:
        """Set keys of run.json."""
        old = self.record() if self.record_file.is_file() else {}
        write_json(self.record_file, {**old, **values})

    def log_step(self, values: Mapping[str, Any]) -> None:
        """Append one line to train.jsonl."""
        append_jsonl(self.train_log, values)

    def log_validation(self, values: Mapping[str, Any]) -> None:
        """Append one line to validations.jsonl."""
        append_jsonl(self.validation_log, values)

    def weights(self) -> Path:
        """The best checkpoint's weights (the last one's when none was best); UserError when there are none."""
        record = self.record()
        step = record.get("best_step") or record.get("last_step")
        path = self.checkpoints / str(step) / "weights.safetensors"
        if step is None or not path.is_file():
            raise UserError(
                f"{self.path} holds no weights (status: {record.get('status')})", "train it to the end first"
            )
        return path

    def write_split(self, split: Split) -> None:
        write_json(self.split_file, asdict(split))

    def split(self) -> Split:
        return read_split(self.split_file)

    def write_scores(self, scores: Scores, summary: Mapping[str, Any]) -> None:
        """Write scores.jsonl and summary.json of one set."""
        folder = self.evaluation(check_set_name(scores.set_name))
        (folder / "summary.json").unlink(missing_ok=True)  # an old summary must never stand beside new rows
        write_jsonl(folder / "scores.jsonl", (asdict(row) for row in scores.rows))
        leaks = self.record().get("leaks", []) if self.record_file.is_file() else []
        write_json(folder / "summary.json", {**summary, "leaks": leaks})

    def scores(self, set_name: SetName) -> Scores:
        """The scores of one set; UserError when it has not been evaluated."""
        folder = self.evaluation(set_name)
        if not (folder / "summary.json").is_file():
            raise UserError(
                f"{self.path} has no scores of its {set_name} set", f"vesselbench evaluate {self.path} --set {set_name}"
            )
        summary = read_json(folder / "summary.json")
        keys = ("set_name", "threshold", "fingerprint", "metric_versions", "weights_sha256")
        try:
            rows = tuple(ScoreRow(**row) for row in read_jsonl(folder / "scores.jsonl"))
            return Scores(rows, **{key: summary[key] for key in keys})
        except (TypeError, KeyError) as error:
            hint = f"vesselbench evaluate {self.path} --set {set_name}"
            raise UserError(f"{folder} was damaged after it was written: {error!r}", hint) from None


def part_name(name: str, rank: int) -> str:
    """The file of lines that one process writes of something that several write."""
    return f"{name}-{rank}.jsonl" if rank else f"{name}.jsonl"


def parts_of(folder: Path, name: str) -> list[Path]:
    """The files in `folder` that are named by `part_name`, sorted."""
    return sorted(path for path in folder.glob(f"{name}*.jsonl") if re.fullmatch(rf"{name}(-\d+)?\.jsonl", path.name))


def fresh_path(root: Path, name: str) -> Path:
    """``<root>/<name>/<time>-<4 hex>``, a path that does not exist yet; nothing is made."""
    return root / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def ladder_file(root: Path, key: str) -> Path:
    """Where the ladder of one test set is kept, below the folder of the runs."""
    return root / "ladder" / f"{key[:16]}.json"


def check_set_name(name: str) -> SetName:
    """`name` as a set's name; UserError when it is none."""
    for known in SET_NAMES:
        if name == known:
            return known
    raise UserError(f"no set named {name!r}", f"choose one of {', '.join(SET_NAMES)}")


def file_name(sample_id: str) -> str:
    """A sample id as one file name: readable where it is safe, with a hash where characters had to go."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in sample_id).lstrip(".")
    return (
        safe
        if safe == sample_id and len(safe) < 120
        else f"{safe[:100]}-{hashlib.sha256(sample_id.encode()).hexdigest()[:8]}"
    )


def read_split(path: Path) -> Split:
    """A split.json; UserError when keys are missing."""
    value = read_json(path)
    try:
        sets = {check_set_name(name): tuple(ids) for name, ids in value["sets"].items()}
        return Split(str(value["name"]), int(value["seed"]), sets, str(value["fingerprint"]))
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a split: {error!r}", "use the split.json of a run") from None


def runs_of(root: Path, name: str | None = None) -> Iterator[RunDir]:
    """Runs below `root`, newest first; of one recipe when `name` is given."""
    found = (root / name).glob("*/run.json") if name else root.glob("*/*/run.json")
    for path in sorted(found, key=lambda p: p.parent.name, reverse=True):
        yield RunDir(path.parent)
