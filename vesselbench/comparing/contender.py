"""One side of a comparison: a model that was trained with one seed or with several."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev
from typing import Any

from vesselbench.comparing.scored import Costs, ScoredRun
from vesselbench.rundir import RunDir
from vesselbench.types import ScoreRow, Scores, Split


@dataclass(frozen=True)
class Spread:
    """The means over images of each seed, in the seeds' order, and their standard deviation (None for one seed)."""

    means: tuple[float | None, ...]
    sd: float | None


@dataclass(frozen=True)
class Contender:
    """Runs of one recipe that differ in their seed only; `label` is unique within a comparison.

    Its values are the means over its seeds. What the seeds have in common is that of the first one.
    """

    label: str
    seeds: tuple[ScoredRun, ...]

    @property
    def first(self) -> ScoredRun:
        return self.seeds[0]

    @property
    def run(self) -> RunDir:
        return self.first.run

    @property
    def where(self) -> str:
        return self.first.where

    @property
    def record(self) -> Mapping[str, Any]:
        return self.first.record

    @property
    def config(self) -> Mapping[str, Any]:
        return self.first.config

    @property
    def split(self) -> Split:
        return self.first.split

    @property
    def scores(self) -> Scores:
        """Those of the first seed, not the means."""
        return self.first.scores

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.first.summary

    @property
    def observer2(self) -> tuple[ScoreRow, ...] | None:
        return self.first.observer2

    @property
    def primary(self) -> str:
        return self.first.primary

    @property
    def directions(self) -> dict[str, str]:
        """metric name -> "higher" or "lower", whichever is better."""
        return self.first.directions

    @property
    def costs(self) -> Costs:
        """What one seed took: times and speeds are means over the seeds, memory is the highest."""
        every = [seed.costs for seed in self.seeds]
        return replace(
            every[0],
            train_seconds=_mean_if_all([costs.train_seconds for costs in every]),
            seconds_per_step=_mean_if_all([costs.seconds_per_step for costs in every]),
            samples_per_second=_mean_if_all([costs.samples_per_second for costs in every]),
            images_per_second=_mean_if_all([costs.images_per_second for costs in every]),
            peak_memory_bytes=max((costs.peak_memory_bytes or 0 for costs in every), default=0) or None,
        )

    def values(self, metric: str) -> list[float | None]:
        """One value per image, the mean over the seeds; None where one of the seeds has none."""
        return [_mean_if_all(list(of_image)) for of_image in zip(*(s.values(metric) for s in self.seeds), strict=True)]

    def summarised(self, metric: str, figure: str) -> float | None:
        """A figure beside a metric's mean in summary.json (`pooled`, `group_mean`, `all_background`), the mean over the
        seeds; None where one of the seeds has none."""
        entries = [(seed.summary.get("metrics") or {}).get(metric) or {} for seed in self.seeds]
        return _mean_if_all([entry.get(figure) for entry in entries])

    def cases(self) -> Counter[str]:
        """How many images of each empty-mask case were met; an image counts once for every seed."""
        return Counter(row.case for seed in self.seeds for row in seed.scores.rows)

    def statuses(self) -> Counter[str]:
        """How many answers of each status were given; an image counts once for every seed."""
        return Counter(row.status for seed in self.seeds for row in seed.scores.rows)

    def spread(self, metric: str) -> Spread:
        """How much the seeds differ: each one's mean over images, and the standard deviation of these."""
        means = tuple(mean_of(seed.values(metric)) for seed in self.seeds)
        known = [mean for mean in means if mean is not None]
        return Spread(means, stdev(known) if len(known) == len(means) > 1 else None)


def gather_seeds(runs: Sequence[ScoredRun]) -> list[Contender]:
    """Contenders in the order in which the first run of each was given.

    Runs are seeds of one contender when their config.yaml differ in ``train.seed`` only and no two seeds are the
    same. When that would leave a single contender, every run stands for itself: its seeds are what is compared.
    """
    alike: dict[str, list[ScoredRun]] = {}
    for run in runs:
        alike.setdefault(_without_seed(run.config), []).append(run)
    sides: list[tuple[ScoredRun, ...]] = []
    for members in alike.values():
        distinct = len({member.seed for member in members}) == len(members)
        sides.extend([tuple(members)] if distinct and len(alike) > 1 else [(member,) for member in members])
    names = [str(side[0].record["recipe"]) for side in sides]
    folders = [side[0].run.path.name for side in sides]
    return [Contender(label, side) for label, side in zip(_apart(names, folders), sides, strict=True)]


def _without_seed(config: Mapping[str, Any]) -> str:
    train = {key: value for key, value in (config.get("train") or {}).items() if key != "seed"}
    return json.dumps({**config, "train": train}, sort_keys=True, default=str)


def _apart(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Recipe names where they are unique, else the name with the run's folder behind it."""
    return [name if names.count(name) == 1 else f"{name} {folder}" for name, folder in zip(names, folders, strict=True)]


def _mean_if_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of those that are not None; None when there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def median_of(values: Sequence[float | None]) -> float | None:
    """Median of those that are not None; None when there are none."""
    known = [value for value in values if value is not None]
    return median(known) if known else None
