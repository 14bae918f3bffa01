"""What a computation on the processor holds at its highest point, by torch's record of every allocation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

EVENT = "[memory]"
"""Name under which torch's profiler records what is allocated (bytes above 0) and freed (below)."""


def held_by(compute: Callable[[], object]) -> tuple[int, ...]:
    """Run `compute` on the processor: the sizes in bytes of all blocks that were live at its highest point, without
    what was there before, the largest first. Workspaces that torch allocates for its libraries are among them.

    A block that is freed is told by its size alone: which of several equal ones it was does not matter here.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else its library writes two lines to the terminal
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        compute()
    recorded = profiled.profiler.kineto_results.events()
    events = sorted((event for event in recorded if event.name() == EVENT), key=lambda event: event.start_ns())
    total, peak, live, highest = 0, 0, Counter[int](), Counter[int]()
    for event in events:
        size = int(event.nbytes())
        total += size
        live[abs(size)] += 1 if size > 0 else -1
        if total > peak:
            peak, highest = total, live.copy()
    return tuple(sorted((+highest).elements(), reverse=True))
