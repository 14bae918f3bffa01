"""The log of a real fine-tune of Sa2VA, as mmengine writes it: the known numbers at their iterations, drawn between."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from vesselbench.report.training.foreign import LogFacts

ITERATIONS = 3672
KNOWN = {
    10: (13.7600, 4.8402, 0.9979, 7.9219),
    1220: (1.1791, 0.5301, 0.3641, 0.2849),
    2450: (1.1675, 0.5248, 0.3584, 0.2843),
    3670: (1.0797, 0.4839, 0.3120, 0.2838),
}
"""iteration -> total, mask, dice, LLM. Of the middle two the total alone is known; their parts are drawn."""
NAMES = ("loss", "loss_mask", "loss_dice", "llm_loss")
FACTS = LogFacts("micro-batches", world=4, micro_batch=1, accumulation=8, training_set=1220, epochs=3)


def losses(iteration: int) -> dict[str, float]:
    """The known values, and between them values that lie on a falling curve."""
    if iteration in KNOWN:
        return dict(zip(NAMES, KNOWN[iteration], strict=True))
    places = sorted(KNOWN)
    left = max(place for place in places if place < iteration)
    right = min(place for place in places if place > iteration)
    share = (1 - math.exp(-9 * (iteration - left) / (right - left))) / (1 - math.exp(-9))
    parts = [a + share * (b - a) for a, b in zip(KNOWN[left][1:], KNOWN[right][1:], strict=True)]
    return dict(zip(NAMES, (sum(parts), *parts), strict=True))


def rate(iteration: int) -> float:
    """Linear warm-up over a tenth, then cosine to 0."""
    done = iteration / ITERATIONS
    return 2e-5 * (done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9)))


def entries() -> list[dict[str, float]]:
    return [
        {"iter": i, "lr": rate(i), "time": 16.2, "data_time": 0.02 + 0.06 * (i % 7) / 6, **losses(i)}
        for i in range(10, ITERATIONS, 10)
    ]


@pytest.fixture
def text_log(tmp_path: Path) -> Path:
    """mmengine's text log, with lines of other kinds around it."""
    lines = ["2025/03/01 10:00:00 - mmengine - INFO - Config: lr = 2e-05, loss: dict(type='CrossEntropyLoss')"]
    for entry in entries():
        shown = "  ".join(f"{name}: {entry[name]:.4f}" for name in NAMES)
        lines.append(
            f"2025/03/01 10:00:00 - mmengine - INFO - Iter(train) [{entry['iter']:4d}/{ITERATIONS}]  "
            f"lr: {entry['lr']:.4e}  "
            f"eta: 16:29:10  time: {entry['time']:.4f}  data_time: {entry['data_time']:.4f}  memory: 17024  {shown}"
        )
    lines.append("2025/03/02 02:31:00 - mmengine - INFO - Saving checkpoint at 3672 iterations")
    path = tmp_path / "20250301_100000.log"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def json_log(tmp_path: Path) -> Path:
    """The same as mmengine's scalars.json."""
    path = tmp_path / "scalars.json"
    path.write_text("".join(json.dumps({**entry, "step": entry["iter"]}) + "\n" for entry in entries()))
    return path
