"""The tables of scores on a page: metrics, judgements, ranks, seeds, the ladder, every image."""

from __future__ import annotations

from collections.abc import Sequence

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of, median_of
from vesselbench.comparing.pairing import Pair, PairedMetric
from vesselbench.ladder import Ladder
from vesselbench.report import words
from vesselbench.report.tables import Cell, Table, is_best

ARROWS = {"higher": "↑", "lower": "↓"}


def headline(comparison: Comparison) -> list[str]:
    """The metrics of whole images, the primary one first; those of one vessel width stand elsewhere."""
    entries = comparison.runs[0].summary.get("metrics") or {}
    whole = [metric for metric in comparison.directions if (entries.get(metric) or {}).get("bin") is None]
    return sorted(whole, key=lambda metric: metric != comparison.primary)


def metric_table(comparison: Comparison, metrics: Sequence[str]) -> Table:
    """Mean of every metric, a column per run and one for the second observer; median, pooled and group mean below."""
    rows = []
    for metric in metrics:
        better = comparison.directions[metric]
        means = {run.label: mean_of(run.values(metric)) for run in comparison.runs}
        cells = [_metric_cell(run, metric, is_best(means, run.label, better)) for run in comparison.runs]
        if comparison.observer2 is not None:
            values = [row.values[metric] for row in comparison.observer2]
            cells.append(Cell(words.or_absent(mean_of(values), words.score), _aside(values), sort=mean_of(values)))
        leads = metric == comparison.primary
        rows.append((Cell(f"{metric} {ARROWS[better]}", "primary" if leads else "", leads), *cells))
    labels = [run.label for run in comparison.runs]
    if comparison.observer2 is not None:
        share = words.share(len(comparison.observer2), len(comparison.images))
        labels.append(f"second observer{f', {share}' if share else ''}")
    return Table(("metric", *labels), tuple(rows))


def _metric_cell(run: Contender, metric: str, best: bool) -> Cell:
    values = run.values(metric)
    notes = [_aside(values)]
    for figure, name in (("pooled", "pixels"), ("group_mean", "groups"), ("all_background", "all background")):
        if (found := run.summarised(metric, figure)) is not None:
            notes.append(f"{name} {words.score(found)}")
    if (deviation := run.spread(metric).sd) is not None:
        notes.append(f"seeds ±{words.score(deviation)}")
    mean = mean_of(values)
    return Cell(words.or_absent(mean, words.score), ", ".join(notes), best, mean)


def _aside(values: Sequence[float | None]) -> str:
    without = f", {values.count(None)} without" if None in values else ""
    return f"median {words.or_absent(median_of(values), words.score)}{without}"


def judgement_table(pair: Pair, metrics: Sequence[str]) -> Table:
    """a minus b, a row per metric: difference, interval, signed-rank p after Holm's correction, images, outcome."""
    columns = (
        "metric",
        "mean difference",
        "95 % interval",
        "signed-rank p (Holm)",
        f"{pair.a} better / equal / worse",
        "detectable",
        "outcome",
    )
    return Table(columns, tuple(_judgement_row(pair, pair.metrics[metric]) for metric in metrics))


def _judgement_row(pair: Pair, metric: PairedMetric) -> tuple[Cell, ...]:
    shift = f"Hodges–Lehmann {words.change(metric.hodges_lehmann)}" if metric.hodges_lehmann is not None else ""
    median = f"median {words.or_absent(metric.median_difference, words.change)}"
    tally, within = metric.tally, metric.within_margin
    counts = f"{tally.wins} / {tally.ties} / {tally.losses}"
    notes = [f"{metric.left_out} left out"] if metric.left_out else []
    notes += [f"{within:.0%} within the margin"] if within is not None else []
    raw = "" if metric.test is None else f"uncorrected {words.probability(metric.test.p)}"
    found, shifts = metric.detectable, f"{median}; {shift}" if shift else median
    least = Cell(words.ABSENT)
    if found is not None:
        least = Cell(words.or_absent(found.difference, words.score), found.reason, sort=found.difference)
    said = metric.judgement or "not judged"
    outcome = f"{pair.a} is {said}" if said in ("better", "worse") else said
    return (
        Cell(f"{metric.metric} {ARROWS[metric.better]}", metric.role, metric.role == "primary"),
        Cell(words.or_absent(metric.difference, words.change), shifts, sort=metric.difference),
        Cell(words.ABSENT, metric.interval.reason) if metric.interval.reason else Cell(words.bounds(metric.interval)),
        Cell(words.or_absent(metric.p_adjusted, words.probability), raw, sort=metric.p_adjusted),
        Cell(counts, ", ".join(notes), sort=tally.wins),
        least,
        Cell(outcome, "", metric.role == "primary" or said in ("better", "worse")),
    )


def rank_table(comparison: Comparison) -> Table | None:
    """How often each of three or more runs takes each rank when the groups are drawn anew."""
    if comparison.several is None:
        return None
    ranks = comparison.several.ranks
    rows = []
    for run, shares, (first, last) in zip(comparison.runs, ranks.shares, ranks.intervals, strict=True):
        between = f"{first}" if first == last else f"{first} to {last}"
        rows.append((Cell(run.label), Cell(between), *(Cell(f"{share:.0%}", sort=share) for share in shares)))
    return Table(("run", "rank (95 %)", *(f"rank {place}" for place in range(1, len(rows) + 1))), tuple(rows))


def seed_table(comparison: Comparison) -> Table | None:
    """Every seed of every run, where one has several."""
    if all(len(run.seeds) == 1 for run in comparison.runs):
        return None
    rows = [
        (
            Cell(run.label),
            Cell(str(seed.seed), sort=seed.seed),
            Cell(words.or_absent(mean := mean_of(seed.values(comparison.primary)), words.score), sort=mean),
            Cell(f"{seed.scores.threshold:g}"),
            Cell(seed.where),
        )
        for run in comparison.runs
        for seed in run.seeds
    ]
    return Table(("run", "seed", f"mean {comparison.primary}", "threshold", "folder"), tuple(rows))


def ladder_table(comparison: Comparison, ladder: Ladder, metrics: Sequence[str]) -> Table:
    """Every rung with what was done, and its means; the runs stand beside them."""
    rows = [
        (Cell(rung.name, rung.definition), *(_mean_cell(rung.mean(metric), False) for metric in metrics))
        for rung in ladder.rungs
    ]
    for run in comparison.runs:
        means = [mean_of(run.values(metric)) for metric in metrics]
        rows.append((Cell(run.label, "a compared run", True), *(_mean_cell(mean, True) for mean in means)))
    return Table(("rung", *(f"{metric} {ARROWS[comparison.directions[metric]]}" for metric in metrics)), tuple(rows))


def _mean_cell(mean: float | None, strong: bool) -> Cell:
    return Cell(words.or_absent(mean, words.score), "", strong, mean)


def image_table(comparison: Comparison) -> Table:
    """Every image with its group and the primary metric of each run; of two runs the difference as well."""
    columns = [run.values(comparison.primary) for run in comparison.runs]
    rows = []
    for place, (image, group) in enumerate(zip(comparison.images, comparison.groups, strict=True)):
        values = [column[place] for column in columns]
        cells = [Cell(words.or_absent(value, words.score), sort="" if value is None else value) for value in values]
        if len(values) == 2 and values[0] is not None and values[1] is not None:
            cells.append(Cell(words.change(values[0] - values[1]), sort=values[0] - values[1]))
        elif len(values) == 2:
            cells.append(Cell(words.ABSENT, sort=""))
        cases = {seed.scores.rows[place].case for run in comparison.runs for seed in run.seeds} - {"ok"}
        rows.append((Cell(image, ", ".join(sorted(case.replace("_", " ") for case in cases))), Cell(group), *cells))
    last = ["difference"] if len(columns) == 2 else []
    return Table(("image", "group", *(run.label for run in comparison.runs), *last), tuple(rows))


def width_table(comparison: Comparison, families: dict[str, list[str]]) -> Table:
    """Means per vessel width, a row per width and family, a column per run."""
    rows = []
    for family, metrics in families.items():
        for metric in metrics:
            width = metric.partition("@")[2] or metric
            name = metric.partition("@")[0]
            means = {run.label: mean_of(run.values(metric)) for run in comparison.runs}
            held = sum(value is not None for value in comparison.runs[0].values(metric))
            cells = [
                Cell(words.or_absent(mean, words.score), "", is_best(means, label, comparison.directions[metric]), mean)
                for label, mean in means.items()
            ]
            rows.append((Cell(f"{name} {width}", family), Cell(str(held), sort=held), *cells))
    return Table(("metric and width", "images", *(run.label for run in comparison.runs)), tuple(rows))
