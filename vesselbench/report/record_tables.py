"""How a comparison came about, for those who repeat it: whole hashes and command lines."""

from __future__ import annotations

from vesselbench.comparing.comparison import Comparison
from vesselbench.report.tables import Cell, Table


def hash_table(comparison: Comparison) -> Table:
    """SHA-256 of everything that was scored and of what it rests on, whole."""
    rows = [(Cell("data and split (fingerprint)"), Cell(comparison.runs[0].split.fingerprint))]
    for run in comparison.runs:
        for seed in run.seeds:
            rows.append(
                (Cell(f"weights of {run.label}", seed.where), Cell(seed.scores.weights_sha256 or "not recorded"))
            )
            for name, digest in (seed.record.get("base_weights") or {}).items():
                file = str(name).replace("\\", "/").rsplit("/", 1)[-1]
                rows.append((Cell(f"base of {run.label}", file), Cell(str(digest))))
    return Table(("what", "SHA-256"), tuple(dict.fromkeys(rows)))


def leaks_of(comparison: Comparison) -> list[str]:
    """Sentences on how the split leaks, where that was allowed."""
    return list(dict.fromkeys(line for run in comparison.runs for line in run.record.get("leaks") or ()))


def command_lines(comparison: Comparison) -> list[str]:
    """What was typed to train each run, and what compares and checks them; empty where commands are withheld."""
    seeds = [seed for run in comparison.runs for seed in run.seeds]
    typed = list(dict.fromkeys(str(seed.record["command"]) for seed in seeds if seed.record.get("command")))
    if not typed:
        return []
    folders = " ".join(f"runs/{seed.where}" for seed in seeds)
    bundled = f"vesselbench bundle {folders} --to evidence.zip"
    return [*typed, f"vesselbench report {folders}", bundled, "vesselbench verify evidence.zip"]
