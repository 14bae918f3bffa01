"""What a training's curves say, by rules that are printed beside what they say."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vesselbench.report.training.history import TOTAL, History, Validation

FEWEST = 4
"""Validations from which anything is said about convergence."""
GAIN = 0.005
"""A rise of the validation score below this, over the last third, counts as level."""
LOSS = 0.01
"""A validation score this far below the best one counts as lost: the margin of equivalence of a comparison."""
FALL = 0.02
"""A training loss that fell by this share still falls."""
ANSWERS = (6, 6, 8, 10, 3)
"""Tokens of the five answers between which Sa2VA's official training draws, end of turn included (Qwen2's tokens)."""
FLOOR_WIDTH = 0.05
"""Distance from the floor, in nat per token, at which a loss counts as having arrived there."""

RULES = (
    f"Convergence, with {FEWEST} validations or more: the best score of the last third of them is compared with the "
    f"best before. Less than {GAIN:g} better: levelled off. Else: still improving. (Of scores above 1 in size, "
    "such as distances, these limits are shares.)",
    f"Over-fitting: the last validation is more than {LOSS:g} worse than the best, at least two validations came after "
    f"the best one, and the training loss (median of its last tenth against the tenth before the best validation) fell "
    f"by {FALL:.0%} or more meanwhile. A worse score without a falling loss is called unstable.",
    f"Training loss: still falling when the median of its last fifth is {FALL:.0%} or more below that of the fifth "
    "before. It is no sign of quality: only the validation set is.",
)


@dataclass(frozen=True)
class Finding:
    """One statement. kind: good, bad, open (cannot be judged) or fact."""

    kind: str
    title: str
    text: str


def answer_floor(tokens: Sequence[int] = ANSWERS) -> float:
    """Lowest mean cross-entropy, in nat per token, of an answer drawn evenly from sentences of so many tokens.

    Whoever knows only that one of n sentences comes pays ln n for it, spread over its tokens (Shannon 1948).
    """
    return math.log(len(tokens)) * statistics.fmean(1 / count for count in tokens)


def judge(history: History) -> list[Finding]:
    """Convergence and over-fitting from the validations, then what the losses say."""
    known = [v for v in history.validations if v.score is not None]
    findings = [_convergence(history, known), _overfitting(history, known)]
    findings.append(_loss_trend(history))
    findings += _components(history) + _floor(history)
    return findings


def _sign(history: History) -> float:
    return 1.0 if history.better == "higher" else -1.0


def _scores(history: History, known: Sequence[Validation]) -> list[float]:
    """Scores of which higher is better."""
    return [_sign(history) * validation.score for validation in known if validation.score is not None]


def _scale(scores: Sequence[float]) -> float:
    """Scores in [0, 1] are judged as they are; of larger ones (distances in pixels) a share counts."""
    return max(1.0, max(abs(score) for score in scores))


def _convergence(history: History, known: Sequence[Validation]) -> Finding:
    title = "Convergence"
    if len(known) < FEWEST:
        made = "no validation" if not known else "1 validation" if len(known) == 1 else f"{len(known)} validations"
        return Finding(
            "open", title, f"Cannot be judged: {made} with a score, {FEWEST} are needed. A training loss cannot tell."
        )
    scores = _scores(history, known)
    third = max(1, len(scores) // 3)
    gain = max(scores[-third:]) - max(scores[:-third])
    where = f"the last {third} of {len(scores)} validations against the best before: {gain:+.4f} {history.primary}"
    if gain < GAIN * _scale(scores):
        return Finding("good", title, f"Levelled off ({where}). More steps of this kind are unlikely to help.")
    return Finding("bad", title, f"Still improving when it ended ({where}). A longer training may be better.")


def _overfitting(history: History, known: Sequence[Validation]) -> Finding:
    title = "Over-fitting"
    if len(known) < FEWEST:
        return Finding("open", title, "Cannot be judged without more validations.")
    scores = _scores(history, known)
    best = scores.index(max(scores))
    lost, after = scores[best] - scores[-1], len(scores) - 1 - best
    where = f"{history.primary} {known[best].score:.4f} at step {known[best].step}, {known[-1].score:.4f} at the last"
    if lost <= LOSS * _scale(scores):
        return Finding("good", title, f"None seen: {where}.")
    fall = _fall_after(history, known[best].step)
    if after >= 2 and fall is not None and fall >= FALL:
        return Finding(
            "bad",
            title,
            f"Likely: {where}, while the training loss fell by a further {fall:.0%}. The best "
            "checkpoint is the one that is scored.",
        )
    return Finding("bad", title, f"Unstable rather than over-fitted: {where}, without the training loss falling.")


def _fall_after(history: History, step: int) -> float | None:
    """By which share the training loss fell between the tenth of the log before `step` and its last tenth."""
    course = history.course(TOTAL)
    window = max(1, len(course) // 10)
    before = [value for place, value in course if place <= step][-window:]
    last = [value for _, value in course[-window:]]
    return _fall(before, last) if before and course[-1][0] > step else None


def _fall(before: Sequence[float], after: Sequence[float]) -> float | None:
    first, second = statistics.median(before), statistics.median(after)
    return (first - second) / abs(first) if first else None


def _loss_trend(history: History) -> Finding:
    course = [value for _, value in history.course(TOTAL)]
    text = f"From {course[0]:.4f} to {course[-1]:.4f} over {len(course)} logged values"
    window = len(course) // 5
    if window == 0:
        return Finding("fact", "Training loss", f"{text}; too few to say more.")
    fall = _fall(course[-2 * window : -window], course[-window:])
    if fall is None:
        return Finding("fact", "Training loss", f"{text}.")
    trend = "still falling" if fall >= FALL else "rising" if fall <= -FALL else "level"
    return Finding("fact", "Training loss", f"{text}; at its end {trend} ({-fall:+.1%} from one fifth to the next).")


def _components(history: History) -> list[Finding]:
    """Whether the logged components add up to the total: then the weights are in them."""
    last = history.rows[-1].values
    parts = [name for name in history.losses() if name != TOTAL and not name.startswith("llm_at_")]
    parts = [name for name in parts if name in last and name not in ("llm_elsewhere",)]
    if len(parts) < 2 or TOTAL not in last:
        return []
    total = sum(last[name] for name in parts)
    said = " + ".join(f"{name} {last[name]:.4f}" for name in parts)
    if math.isclose(total, last[TOTAL], rel_tol=1e-3):
        return [Finding("fact", "Components", f"{said} = {last[TOTAL]:.4f}: the weights of the loss are in them.")]
    return []


def _floor(history: History) -> list[Finding]:
    """What the language model's loss can reach at all where answers are drawn at random."""
    name = next((name for name in ("llm_loss", "loss_llm") if history.course(name)), None)
    if name is None or not _draws_answers(history):
        return []
    floor, two = answer_floor(), answer_floor_of_turns(2)
    last = history.course(name)[-1][1]
    reason = (
        f"The official training draws each answer at random from {len(ANSWERS)} sentences. Which one comes cannot be "
        f"known: ln {len(ANSWERS)} = {math.log(len(ANSWERS)):.3f} nat per answer, over its tokens {floor:.3f} nat per "
        f"token with one mask per image and {two:.3f} with two"
    )
    if last <= floor + FLOOR_WIDTH:
        return [
            Finding(
                "bad",
                "Language loss",
                f"{name} ended at {last:.4f}, which is the entropy of the answers (about 0.28) and no progress in "
                f"segmentation. {reason}. It has nothing left to learn; with one fixed answer it would go to 0.",
            )
        ]
    return [Finding("fact", "Language loss", f"{name} ended at {last:.4f}. {reason}: it will not fall below that.")]


def answer_floor_of_turns(turns: int, tokens: Sequence[int] = ANSWERS) -> float:
    """`answer_floor` of a conversation of several answers: all their ln n over all their tokens, in the mean."""
    sums = [0]
    for _ in range(turns):
        sums = [total + count for total in sums for count in tokens]
    return turns * math.log(len(tokens)) * statistics.fmean(1 / total for total in sums)


def _draws_answers(history: History) -> bool:
    """A foreign log with a language loss is the official training; of our own runs the recipe says it."""
    if not history.record:
        return True
    return (history.config.get("model") or {}).get("prompts") == "official"
