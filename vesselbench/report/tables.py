"""The tables of a report as plain text cells; Markdown, HTML and terminal draw the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vesselbench.benchmarking.figures import Figures
from vesselbench.compare import Comparison
from vesselbench.comparing.comparison import Scorings
from vesselbench.comparing.contender import Contender, mean_of, median_of
from vesselbench.comparing.likeness import start_of
from vesselbench.report import words

CASES = (
    ("ok", "both have vessels"),
    ("both_empty", "both empty"),
    ("empty_prediction", "empty prediction"),
    ("empty_reference", "empty reference"),
)


@dataclass(frozen=True)
class Cell:
    """`text`, a smaller `note` under it, whether it stands out, and what it is sorted by (None: its text)."""

    text: str
    note: str = ""
    strong: bool = False
    sort: float | str | None = None


@dataclass(frozen=True)
class Table:
    """A heading per column; the first cell of a row is that row's heading."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def score_table(comparison: Comparison) -> Table:
    """Mean and median of every metric of whole images, a row per run; the best mean stands out. The second observer is
    the last row.

    Where that one has not seen all images, the row says how many: its means are of these only.
    """
    metrics = [metric for metric in comparison.directions if "@" not in metric]
    means = {metric: {run.label: mean_of(run.values(metric)) for run in comparison.runs} for metric in metrics}
    rows = []
    for run in comparison.runs:
        cells = [
            _score_cell(run.values(metric), is_best(means[metric], run.label, comparison.directions[metric]))
            for metric in metrics
        ]
        rows.append((Cell(run.label, f"threshold {run.scores.threshold:g}"), *cells))
    if comparison.observer2 is not None:
        observed = comparison.observer2
        cells = [_score_cell([row.values[metric] for row in observed], False) for metric in metrics]
        share = words.share(len(observed), len(comparison.images))
        rows.append((Cell("second observer", f"a person, {share}" if share else "a person, scored alike"), *cells))
    heads = [f"{metric} {'↑' if comparison.directions[metric] == 'higher' else '↓'}" for metric in metrics]
    return Table(("run", *heads), tuple(rows))


def _score_cell(values: Sequence[float | None], best: bool) -> Cell:
    median = words.or_absent(median_of(values), words.score)
    without = f", {values.count(None)} without" if None in values else ""
    return Cell(words.or_absent(mean_of(values), words.score), f"median {median}{without}", best)


def is_best(means: Mapping[str, float | None], label: str, better: str) -> bool:
    """Whether the mean reads as the best one; means that are printed alike are marked alike."""
    known = [mean for mean in means.values() if mean is not None]
    mean = means[label]
    if len(means) < 2 or mean is None:
        return False
    return words.score(mean) == words.score(max(known) if better == "higher" else min(known))


def case_table(comparison: Comparison) -> Table:
    """How often each empty-mask case occurred, a row per run; its note counts answers that were not as wanted."""
    rows = []
    for run in comparison.runs:
        counts, answers = run.cases(), sorted(run.statuses().items())
        notes = [f"{len(run.seeds)} seeds"] if len(run.seeds) > 1 else []
        unwanted = ", ".join(f"{status} {count}" for status, count in answers if status != "ok")
        notes += [f"answers: {unwanted}"] if unwanted else []
        rows.append((Cell(run.label, "; ".join(notes)), *(Cell(str(counts[case])) for case, _ in CASES)))
    return Table(("run", *(name for _, name in CASES)), tuple(rows))


def cost_table(comparison: Comparison) -> Table:
    """What training and prediction took, a column per run."""
    lines = (
        ("training time", lambda c: words.or_absent(c.costs.train_seconds, words.duration)),
        ("time per step (median)", lambda c: words.or_absent(c.costs.seconds_per_step, words.duration)),
        ("training samples/s", lambda c: words.or_absent(c.costs.samples_per_second, words.rate)),
        ("steps × samples per step", lambda c: f"{c.costs.steps:,} × {c.costs.batch_size}"),
        ("parameters", lambda c: words.amount(c.costs.parameters_total)),
        ("trainable parameters", _trainable),
        ("peak memory", lambda c: words.or_absent(c.costs.peak_memory_bytes, words.size)),
        ("predicted images/s", lambda c: words.or_absent(c.costs.images_per_second, words.rate)),
        ("device", lambda c: c.costs.device),
        ("processes", lambda c: str(c.costs.world)),
        ("ZeRO stage", lambda c: str(c.costs.zero_stage)),
        ("arithmetic", lambda c: c.costs.precision),
    )
    measured = [(name, [line(run) for run in comparison.runs]) for name, line in lines]
    return _by_run(comparison, [*measured, *benchmark_lines(comparison)])


def benchmark_lines(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """What `vesselbench bench` found, a value per run; no line where it was not asked."""
    found, lines = comparison.benchmarks.results, []
    for what in dict.fromkeys(figures.what for result in found.values() for figures in result.figures):
        of_runs = [found[run.label].of(what) if run.label in found else None for run in comparison.runs]
        name = f"benchmarked {what.split()[-1]}"  # the step, the prediction
        lines += [
            (name, [words.or_absent(one, lambda f: words.duration(f.median)) for one in of_runs]),
            (
                f"{name}, samples/s",
                [words.or_absent(one, lambda f: words.rate(f.samples_per_second)) for one in of_runs],
            ),
            (f"{name}, share of matmul peak", [words.or_absent(one, _used) for one in of_runs]),
        ]
    return lines


def _used(figures: Figures) -> str:
    return words.or_absent(figures.utilisation, lambda shares: f"{shares['matmul']:.1%}")


def _trainable(run: Contender) -> str:
    total, trainable = run.costs.parameters_total, run.costs.parameters_trainable
    return f"{words.amount(trainable)} ({trainable / total:.1%})" if total else words.amount(trainable)


def part_table(comparison: Comparison) -> Table:
    """Parameters of every part of every model, trainable ones beside them."""
    rows = []
    for run in comparison.runs:
        for part, (total, trainable) in (run.record["parameters"].get("parts") or {}).items():
            rows.append((Cell(run.label), Cell(part), Cell(f"{total:,}"), Cell(f"{trainable:,}")))
    return Table(("run", "part", "parameters", "trainable"), tuple(rows))


def origin_table(comparison: Comparison) -> Table:
    """Where the scored weights come from, a column per run; of several seeds each has its own."""
    lines = (
        ("run folder", lambda s: s.where),
        ("model", lambda s: str(s.record.get("model"))),
        ("finished", lambda s: str(s.record.get("finished"))),
        ("seed", lambda s: str(s.record.get("seed"))),
        ("started from", lambda s: start_of(s.record)),
        ("best checkpoint (step)", lambda s: words.or_absent(s.record.get("best_step"), str)),
        ("threshold", lambda s: f"{s.scores.threshold:g} (from {s.summary.get('threshold_from') or 'the run'})"),
        ("weights scored (sha256)", lambda s: words.short_hash(s.scores.weights_sha256)),
        ("source", lambda s: words.or_absent(s.record.get("git"), str)),
        ("command", lambda s: words.or_absent(s.record.get("command"), str)),
    )
    named = [
        (f"{run.label}, seed {seed.seed}" if len(run.seeds) > 1 else run.label, seed)
        for run in comparison.runs
        for seed in run.seeds
    ]
    rows = tuple((Cell(name), *(Cell(line(seed)) for _, seed in named)) for name, line in lines)
    return Table(("", *(label for label, _ in named)), rows)


def split_table(comparison: Comparison) -> Table:
    """The data and how they were divided."""
    first = comparison.runs[0]
    data = first.config.get("data") or {}
    sizes = ", ".join(f"{name} {len(ids)}" for name, ids in first.split.sets.items())
    lines = (
        ("data", f"{data.get('format', 'withheld')}, {data.get('root') or 'no folder named'}"),
        ("split", f"{first.split.name}, seed {first.split.seed}"),
        ("fingerprint", words.short_hash(first.split.fingerprint)),
        ("images", sizes),
        ("compared", f"{comparison.set_name}: {len(comparison.images)} images of {len(set(comparison.groups))} groups"),
    )
    return Table(("", ""), tuple((Cell(name), Cell(value)) for name, value in lines))


def scoring_table(scorings: Scorings) -> Table:
    """Every scoring of the test set that its ledger holds, oldest first."""
    rows = [
        (
            Cell(str(entry.number)),
            Cell(entry.time),
            Cell(entry.scoring.recipe),
            Cell(words.or_absent(entry.scoring.seed, str)),
            Cell(entry.scoring.run),
            Cell(words.short_hash(entry.scoring.weights_sha256)),
        )
        for entry in scorings.entries
    ]
    return Table(("scoring", "time", "recipe", "seed", "run", "weights (sha256)"), tuple(rows))


def version_table(comparison: Comparison) -> Table:
    """Versions of everything that a result can depend on, a column per run."""
    versions = [dict(run.record.get("versions") or {}) for run in comparison.runs]
    names = sorted({name for found in versions for name in found})
    return _by_run(comparison, [(name, [str(found.get(name, words.ABSENT)) for found in versions]) for name in names])


def setting_tables(comparison: Comparison) -> tuple[Table, Table]:
    """The recipes: the settings in which the runs differ, then those they share."""
    recipes = [flat(run.config) for run in comparison.runs]
    keys = sorted({key for recipe in recipes for key in recipe} - {"name"})
    lines = [
        (key, [words.setting(recipe[key]) if key in recipe else words.ABSENT for recipe in recipes]) for key in keys
    ]
    unlike = [line for line in lines if len(set(line[1])) > 1]
    shared = [line for line in lines if len(set(line[1])) == 1]
    return _by_run(comparison, unlike), Table(
        ("setting", "value"), tuple((Cell(key), Cell(values[0])) for key, values in shared)
    )


def _by_run(comparison: Comparison, lines: Sequence[tuple[str, Sequence[str]]]) -> Table:
    rows = tuple((Cell(name), *(Cell(value) for value in values)) for name, values in lines)
    return Table(("", *(run.label for run in comparison.runs)), rows)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found
