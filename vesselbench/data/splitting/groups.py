"""Which patient a sample belongs to: what the recipe says, else the format, else a proposal from the file names."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vesselbench.config import DataConfig
from vesselbench.data.findings import Fault, Place, each
from vesselbench.data.splitting.columns import Row, SampleIndex, misfit, read_rows
from vesselbench.errors import UserError
from vesselbench.types import Sample

log = logging.getLogger(__name__)
KEYS = ("id", "file")
LEAST = 3
"""Groups that a split needs."""
MOST_SHARE = 0.75
"""Groups per image, above which the names are counters rather than patients."""
MOST_NUMBERS = 4
_PLAIN_FOLDERS = frozenset(
    {"image", "images", "img", "imgs", "train", "training", "val", "valid", "validation", "test"}
)


@dataclass(frozen=True)
class Proposal:
    """A `data.group` that the file names suggest, and why. `groups`: how many it makes."""

    expression: str
    groups: int
    explanation: str


def assign_groups(samples: Sequence[Sample], root: Path, config: DataConfig) -> list[Sample]:
    """The samples, each with its group: `data.groups`, else `data.group`, else the format's own, else its own image.

    Logs `advice` as a warning: a guess is never applied by itself. Raises UserError for an expression or a file that
    does not fit.
    """
    if config.groups is not None:
        groups = groups_of_rows(samples, config.groups, read_rows(config.groups, "group", KEYS))
        bare = [sample.id for sample in samples if sample.id not in groups]
        if bare:
            reason = f"{config.groups} has no group for {len(bare)} samples, the first is {bare[0]!r}"
            raise UserError(reason, "add a row for each")
        return [replace(sample, group=groups[sample.id]) for sample in samples]
    said = advice(samples, root, config)
    if said:
        log.warning("%s", said)
    expression = group_expression(config.group)
    return [replace(sample, group=group_of(sample, root, expression)) for sample in samples]


def advice(samples: Sequence[Sample], root: Path, config: DataConfig) -> str:
    """What to say when every image is a group of its own for want of anything else, with the proposal of
    `propose_group`; empty when groups are known or there is one image."""
    if config.groups is not None or config.group is not None or any(sample.group for sample in samples):
        return ""
    paths = sorted({path_below(root, sample) for sample in samples})
    if len(paths) < 2:
        return ""
    proposal = propose_group(paths)
    if proposal is None:
        return (
            f"each of {len(paths)} images is a group of its own, and their names show no patient: where patients have "
            "several images, set data.group or data.groups"
        )
    return (
        f"each of {len(paths)} images is a group of its own, but {proposal.explanation}: if a stem is a patient, set "
        f"data.group='{proposal.expression}' ({proposal.groups} groups)"
    )


def groups_of_rows(samples: Sequence[Sample], path: Path, rows: Sequence[Row]) -> dict[str, str]:
    """Sample id -> group, from the rows of `path` (columns id or file, and group); Fault table-unfit for each row that
    fits no sample, names no group, or contradicts another."""
    groups: dict[str, tuple[str, int]] = {}
    index = SampleIndex(samples)
    for row in rows:
        with each(Place(str(path), f"line {row.line}")):
            group = row.cells["group"]
            if not group:
                raise misfit(path, row, "the group is empty", "name the patient")
            for sample in index.find(row, KEYS, path):
                known = groups.setdefault(sample.id, (group, row.line))
                if known[0] != group:
                    reason = f"sample {sample.id!r} is of group {group!r}, in line {known[1]} of {known[0]!r}"
                    raise misfit(path, row, reason, "keep one")
    return {sample: group for sample, (group, _) in groups.items()}


def path_below(root: Path, sample: Sample) -> str:
    """The path of the sample's image below `root`, with forward slashes."""
    return sample.image.resolve().relative_to(root.resolve()).as_posix()


def group_of(sample: Sample, root: Path, expression: re.Pattern[str] | None) -> str:
    """The group of a sample whose image lies below `root`; Fault group-not-found when the expression finds none."""
    path = path_below(root, sample)
    if expression is None:
        return sample.group or str(Path(path).with_suffix(""))
    match = expression.search(path)
    if match is None or not match[1]:
        reason = f"data.group: {expression.pattern!r} finds no group in {path!r}"
        raise Fault("group-not-found", "", reason, "mend the expression")
    return match[1]


def group_expression(expression: str | None) -> re.Pattern[str] | None:
    """``data.group`` compiled; UserError unless it is a regular expression with exactly one capture."""
    if expression is None:
        return None
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(f"data.group: {expression!r} is no regular expression: {error}", "see Python's re") from None
    if pattern.groups != 1:
        raise UserError(
            f"data.group: {expression!r} has {pattern.groups} captures, not one",
            "put the patient into brackets, for example data.group='_(\\d+)[LR]'; use (?:...) for the others",
        )
    return pattern


def propose_group(paths: Sequence[str]) -> Proposal | None:
    """A `data.group` for images at these paths below the root; None when the names tell nothing.

    Tried in turn, the first that makes at least 3 groups, most of them of several images: the first folder that
    differs (``p07/0001.png``), then the file name up to and with its first, second, ... number (``p07_0001.png``,
    ``Image_01L.jpg``). Coarse before fine, since too coarse a group costs some images and too fine a one leaks.
    """
    unique = sorted(set(paths))
    for expression in [*_folder_expressions(unique), *_number_expressions(unique)]:
        pattern = re.compile(expression)
        found = [match[1] if (match := pattern.search(path)) else None for path in unique]
        if None in found:
            continue
        counts = Counter(found)
        if LEAST <= len(counts) <= MOST_SHARE * len(unique):
            name, most = counts.most_common(1)[0]
            members = [path for path, group in zip(unique, found, strict=True) if group == name]
            shown = ", ".join(member.rpartition("/")[2] for member in members[:2])
            said = f"their names share {len(counts)} stems such as {name!r} ({shown}; {most} images)"
            return Proposal(expression, len(counts), said)
    return None


def _folder_expressions(paths: Sequence[str]) -> list[str]:
    """One for the first folder level that varies and is no set's name; every path must be that deep."""
    folders = [path.split("/")[:-1] for path in paths]
    for level in range(min((len(parts) for parts in folders), default=0)):
        names = {parts[level] for parts in folders}
        if len(names) > 1 and not {name.lower() for name in names} & _PLAIN_FOLDERS:
            return [f"^{'[^/]+/' * level}([^/]+)/"]
    return []


def _number_expressions(paths: Sequence[str]) -> list[str]:
    """The file name up to its k-th number, as far as every name has so many."""
    numbers = [len(re.findall(r"\d+", path.rpartition("/")[2].rpartition(".")[0])) for path in paths]
    most = min(*numbers, MOST_NUMBERS) if numbers else 0
    parts = [r"[^/\d]*\d+" if count == 1 else rf"(?:[^/\d]*\d+){{{count}}}" for count in range(1, most + 1)]
    return [rf"(?:^|/)({part})[^/]*$" for part in parts]
