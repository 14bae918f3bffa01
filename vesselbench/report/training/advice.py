"""What to do next, as commands that exist."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from vesselbench.report.training.history import History
from vesselbench.report.training.judgement import FEWEST, Finding
from vesselbench.report.training.tables import split_of_time

WAITING = 0.2
"""Share of the steps' time spent waiting for data from which loader processes are advised."""


@dataclass(frozen=True)
class Advice:
    """A reason and the command that follows from it."""

    reason: str
    command: str


def next_steps(history: History, findings: list[Finding]) -> list[Advice]:
    """Commands by what the report found, the most important first."""
    if not history.record:
        return _for_a_log(history)
    run = Path(history.source)
    advice = _by_status(history, run)
    if history.status == "finished" and "test" not in history.scores:
        advice.append(Advice("The test set has not been scored.", _words("evaluate", run)))
    if history.status == "finished":
        rival = "sa2va" if history.record.get("model") == "unet" else "unet"
        reason = f"A score says little alone: hold it against {rival} on the same split."
        advice.append(Advice(reason, _words("compare", run, rival)))
    advice += _by_course(history, findings, run)
    if history.status == "finished":
        to = f"exports/{history.record.get('recipe', 'model')}"
        advice.append(Advice("Use the weights elsewhere.", _words("export", run, "--to", to)))
    return advice


def _by_status(history: History, run: Path) -> list[Advice]:
    resume = Advice("It did not end: go on where it stopped.", _words("train", run, "--resume"))
    if history.status == "running":
        return [
            Advice("It is still running: look again later.", _words("report", run)),
            Advice("Or it was killed: go on where it stopped.", resume.command),
        ]
    if history.status != "finished":
        return [
            resume,
            Advice("Or see first whether its data are at fault.", _words("data", "check", run / "config.yaml")),
        ]
    return []


def _by_course(history: History, findings: list[Finding], run: Path) -> list[Advice]:
    recipe, steps = run / "config.yaml", history.work.optimizer_steps or 1
    said = {finding.title: finding for finding in findings}
    advice = []
    scored = [validation for validation in history.validations if validation.score is not None]
    if len(scored) < FEWEST and steps >= 2 * FEWEST:
        every = f"train.validate_every={max(1, steps // (2 * FEWEST))}"
        advice.append(Advice("Validate more often, so that its course can be judged.", _words("train", recipe, every)))
    elif said["Convergence"].kind == "bad":
        longer = f"train.steps={2 * steps}"
        advice.append(Advice("It was still improving: train longer.", _words("train", recipe, longer)))
    elif said["Over-fitting"].text.startswith("Likely") and history.record.get("best_step"):
        shorter = f"train.steps={history.record['best_step']}"
        advice.append(Advice("It over-fitted: end where it was best.", _words("train", recipe, shorter)))
    split = split_of_time(history)
    worked = sum(split.get(phase, 0.0) for phase in ("data", "forward", "backward", "optimizer"))
    workers = int((history.config.get("train") or {}).get("workers") or 0)
    if worked and split.get("data", 0.0) / worked > WAITING:
        more = f"train.workers={max(2, 2 * workers)}"
        advice.append(Advice("Steps wait for data: load them in processes.", _words("train", recipe, more)))
    if history.scores.get("test") is None and history.status == "finished":
        advice.append(Advice("See what the model's grids cost on this data.", _words("data", "ceiling", recipe)))
    return advice


def _for_a_log(history: History) -> list[Advice]:
    """Another program's training: what this one can do about the same data."""
    data = ("data.format=sa2va", "data.root=FOLDER")
    batch = [f"train.batch_size={history.work.batch}"] if history.work.batch else []
    steps = [f"train.steps={history.work.optimizer_steps}"] if history.work.optimizer_steps else []
    often = f"train.validate_every={max(1, (history.work.optimizer_steps or 8) // 8)}"
    micro = "train.micro_batch=1"
    processes = ["--nproc", str(history.work.world)] if history.work.world else []
    return [
        Advice("Find faulty annotations (FOLDER: the data set).", _words("data", "check", "FOLDER")),
        Advice("See which split keeps patients apart.", _words("data", "split", "sa2va", *data)),
        Advice("See what it needs before it runs.", _words("plan", "sa2va", *data, *processes)),
        Advice("Train it with validations.", _words("train", "sa2va", *data, *steps, *batch, micro, often, *processes)),
        Advice("See whether a small network does as well.", _words("compare", "sa2va", "unet", *data)),
    ]


def _words(*words: object) -> str:
    return shlex.join(["vesselbench", *(str(word) for word in words)])
