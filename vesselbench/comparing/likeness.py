"""What runs must share before their scores may be compared, and what is told when they differ in the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from vesselbench.comparing.contender import Contender
from vesselbench.comparing.scored import ScoredRun
from vesselbench.declared import Declared, read_declared
from vesselbench.errors import UserError
from vesselbench.quantities import duration
from vesselbench.rundir import RunDir
from vesselbench.types import SET_NAMES, ScoreRow, Split

AGAIN = "train and evaluate both on the same data and split (data.split.file takes the split.json of the other run)"


def refuse_unlike(runs: Sequence[ScoredRun]) -> None:
    """Raise UserError, naming both runs and the difference, unless all share data, split, images, metrics and plan.

    A shared fingerprint says that the samples are the same ones; the sets are compared as well, because the same
    samples can be dealt out differently, and one run's test image would be another's training image.
    """
    refuse_unlike_trainings([run.run for run in runs])
    first = runs[0]
    for other in runs[1:]:
        for what, hint in _differences(first, other):
            raise _refusal(first.run, other.run, what, hint)


def refuse_unlike_trainings(runs: Sequence[RunDir]) -> None:
    """The part of `refuse_unlike` that needs no scores, so that no test set is scored for a comparison that is refused.

    Refused are a run given twice, other data or sets, another plan than the first run's.
    """
    for index, run in enumerate(runs):
        if run.path.resolve() in [other.path.resolve() for other in runs[:index]]:
            raise UserError(f"{run.path} is given twice", "name two different runs")
    splits = [run.split() for run in runs]
    plans = [read_declared(run.record(), run.record_file) for run in runs]
    for run, split, plan in list(zip(runs, splits, plans, strict=True))[1:]:
        for what, hint in [*_unlike_splits(splits[0], split), *_unlike_plans(plans[0], plan)]:
            raise _refusal(runs[0], run, what, hint)


def _refusal(a: RunDir, b: RunDir, what: str, hint: str) -> UserError:
    return UserError(f"{a.path} and {b.path} cannot be compared: {what}", hint)


def _unlike_splits(a: Split, b: Split) -> list[tuple[str, str]]:
    found = []
    if a.fingerprint != b.fingerprint:
        found.append((f"their data differ ({a.fingerprint[:12]} and {b.fingerprint[:12]})", AGAIN))
    for name in SET_NAMES:
        ours, theirs = set(a.sets.get(name, ())), set(b.sets.get(name, ()))
        if ours != theirs:
            found.append((f"their {name} sets differ: {_only(ours, theirs)}", AGAIN))
    return found


def _differences(a: ScoredRun, b: ScoredRun) -> list[tuple[str, str]]:
    """What differs in the scores."""
    found = []
    mine = {row.id: (row.group, row.target) for row in a.scores.rows}
    for row in b.scores.rows:
        if row.id in mine and mine[row.id] != (row.group, row.target):
            found.append((f"{row.id!r} is {mine[row.id]} in one and {(row.group, row.target)} in the other", AGAIN))
    again = "evaluate both with the same version and the same evaluation.metrics"
    if dict(a.scores.metric_versions) != dict(b.scores.metric_versions) or a.directions != b.directions:
        pair = (_versions(a), _versions(b))
        found.append((f"their metrics differ: {pair[0]} and {pair[1]}", again))
    if a.summary.get("options") != b.summary.get("options"):
        unlike = f"{a.summary.get('options')} and {b.summary.get('options')}"
        found.append((f"the options of their metrics differ: {unlike}", "set evaluation.options alike"))
    if a.primary != b.primary:
        found.append((f"their primary metrics differ: {a.primary} and {b.primary}", "set evaluation.primary alike"))
    if a.observer2 is not None and b.observer2 is not None and _by_id(a.observer2) != _by_id(b.observer2):
        found.append(("the second observer's scores differ", again))
    return found


def _unlike_plans(a: Declared | None, b: Declared | None) -> list[tuple[str, str]]:
    """What two runs declared before their test set was scored, where it is not the same."""
    if a is None or b is None:
        return []
    pairs = (
        ("primary metrics", a.primary, b.primary, "evaluation.primary"),
        ("margins of equivalence", a.margin, b.margin, "evaluation.margin"),
        ("families of secondary metrics", a.family, b.family, "evaluation.family"),
        ("units", a.unit, b.unit, "data.unit"),
    )
    return [
        (f"their declared {what} differ: {mine} and {theirs}", f"train both with the same {key}")
        for what, mine, theirs, key in pairs
        if mine != theirs
    ]


def _only(ours: set[str], theirs: set[str]) -> str:
    a, b = sorted(ours - theirs), sorted(theirs - ours)
    sides = (("the first", a), ("the second", b))
    return "; ".join(f"{len(ids)} only in {side} ({', '.join(ids[:3])})" for side, ids in sides if ids)


def _versions(run: ScoredRun) -> str:
    directions = run.directions
    versions = run.scores.metric_versions.items()
    return ", ".join(f"{name} v{version} ({directions.get(name)} is better)" for name, version in versions)


def _by_id(rows: Sequence[ScoreRow]) -> dict[str, dict[str, float | None]]:
    return {row.id: dict(row.values) for row in rows}


ASPECTS: tuple[tuple[str, Callable[[ScoredRun], object]], ...] = (
    ("seed", lambda c: c.record.get("seed")),
    ("training budget", lambda c: f"{c.costs.samples_seen:,} samples seen"),
    ("batch", lambda c: f"{c.costs.steps:,} steps of {c.costs.batch_size} samples"),
    ("number of validations", lambda c: c.record.get("validations")),
    ("selection", lambda c: selection_of(c.record)),
    ("optimizer", lambda c: c.record.get("optimizer")),
    ("start", lambda c: start_of(c.record)),
    ("choice of the threshold", lambda c: c.summary.get("threshold_from")),
    ("device", lambda c: c.costs.device),
    ("number of processes", lambda c: c.costs.world),
    ("ZeRO stage", lambda c: c.costs.zero_stage),
    ("arithmetic", lambda c: c.costs.precision),
)
"""Allowed to differ, but then said."""
BUDGET = ("training budget", "batch", "number of validations", "selection")
SEEN = {"neighbourhood": "local contrast", "views": "views averaged"}
"""Keys of a model's settings that decide what it sees of an image, whatever the model; one without them says none."""
LONGER = 1.1
"""Ratio of training times from which they count as unlike."""
UNEQUAL = "; this is not an equal budget"
CONSEQUENCES = {
    **dict.fromkeys(BUDGET, UNEQUAL),
    "device": "; their times do not compare",
    **dict.fromkeys(("number of processes", "ZeRO stage", "arithmetic"), "; this alone changes their times"),
}


def notes_of(contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Sentences on everything that differs without forbidding the comparison; none holds a sample's id."""
    runs = [seed for contender in contenders for seed in contender.seeds]
    leaks = dict.fromkeys(line for run in runs for line in run.record.get("leaks") or ())
    notes = [f"The split leaks (data.allow_leak): {line}." for line in leaks]
    for name, aspect in ASPECTS:
        notes.extend(_unlike(name, {contender.label: _over_seeds(contender, aspect) for contender in contenders}))
    notes.extend(_unlike_times(contenders))
    augmentations = {contender.label: _augmentation(contender) for contender in contenders}
    for key in dict.fromkeys(key for settings in augmentations.values() for key in settings):
        notes.extend(_unlike(f"augmentation ({key})", {label: s.get(key) for label, s in augmentations.items()}))
    for key, name in SEEN.items():
        settings = {c.label: (c.config.get("model") or {}).get(key) for c in contenders}
        notes.extend(_unlike(f"{name} (model.{key})", settings))
    return (*notes, *_unlike_versions(runs), *_twins(contenders), *_left_out(contenders))


def budget_notes(notes: Sequence[str]) -> list[str]:
    """Those of `notes_of` that say in what the runs had no equal budget, or did not see equal images."""
    unlike = tuple(f"Unlike {what}" for what in ("augmentation", *SEEN.values()))
    return [note for note in notes if UNEQUAL in note or note.startswith(unlike)]


def selection_of(record: Mapping[str, Any]) -> str | None:
    """How the weights that are scored were chosen among those of the training; None for a run that does not say."""
    if "validations" not in record:
        return None
    stopped = ", stopped early" if record.get("stopped_early") else ""
    return f"best of {record['validations']} validations{stopped}; weights: {record.get('saved_weights')}"


def _unlike_times(contenders: Sequence[Contender]) -> list[str]:
    """A note when a model trained longer than another: the mean over its seeds."""
    times = {c.label: [seed.costs.train_seconds for seed in c.seeds] for c in contenders}
    known = {label: fmean(filter(None, some)) for label, some in times.items() if some and all(some)}
    if len(known) < 2 or max(known.values()) <= LONGER * min(known.values()):
        return []
    listed = ", ".join(f"{label}: {duration(seconds)}" for label, seconds in known.items())
    return [f"Unlike training time: {listed}{UNEQUAL} where time is what counts."]


def _over_seeds(contender: Contender, aspect: Callable[[ScoredRun], object]) -> str:
    """The value of an aspect, or the values of all seeds where they are not the same."""
    values = dict.fromkeys(aspect(seed) for seed in contender.seeds)
    return ", ".join("none" if value is None else str(value) for value in values)


def _twins(contenders: Sequence[Contender]) -> list[str]:
    """A note for every run that scored the weights of an earlier one."""
    notes, seen = [], dict[str, str]()
    for contender in contenders:
        for seed in contender.seeds:
            digest = seed.scores.weights_sha256
            name = contender.label if len(contender.seeds) == 1 else f"{contender.label} seed {seed.seed}"
            if digest and digest in seen:
                notes.append(f"{seen[digest]} and {name} scored the same weights.")
            seen.setdefault(digest, name)
    return notes


def _unlike(name: str, values: Mapping[str, object]) -> list[str]:
    """A note when the values by label are not all the same."""
    if len({str(value) for value in values.values()}) == 1:
        return []
    listed = ", ".join(f"{label}: {'none' if value is None else value}" for label, value in values.items())
    return [f"Unlike {name}: {listed}{CONSEQUENCES.get(name, '')}."]


def _augmentation(contender: Contender) -> dict[str, Any]:
    return dict((contender.config.get("train") or {}).get("augment") or {})


def _unlike_versions(runs: Sequence[ScoredRun]) -> list[str]:
    packages = [dict(run.record.get("versions") or {}) for run in runs]
    names = sorted({name for versions in packages for name in versions})
    unlike = [name for name in names if len({versions.get(name) for versions in packages}) > 1]
    return [f"Unlike versions: {', '.join(unlike)} (see the table of versions)."] if unlike else []


def _left_out(contenders: Sequence[Contender]) -> list[str]:
    """A note per contender and number of images without a value, with all metrics of which that holds."""
    notes = []
    for contender in contenders:
        metrics: dict[int, list[str]] = {}
        for metric in contender.directions:
            metrics.setdefault(contender.values(metric).count(None), []).append(metric)
        total = len(contender.scores.rows)
        notes += [
            f"{contender.label} has no {', '.join(names)} for {missing} of {total} images; "
            "these are left out of its mean and of its pairs."
            for missing, names in metrics.items()
            if missing
        ]
    return notes


def start_of(record: Mapping[str, Any]) -> str:
    """What training started from: the base weights' file names (their folders may name a person), or random."""
    files = [str(name).replace("\\", "/").rsplit("/", 1)[-1] for name in record.get("base_weights") or {}]
    return ", ".join(sorted(files)) or f"{record.get('weights') or 'random'} weights"
