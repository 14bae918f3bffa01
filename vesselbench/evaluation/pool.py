"""Work on several images at once, in threads: the measuring is done by compiled code that lets other threads run."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from vesselbench.distributed import local_world

ITEM = TypeVar("ITEM")
RESULT = TypeVar("RESULT")
MOST = 8


def workers_here() -> int:
    """Threads for this process: the cores it may use, shared with the other ranks of this machine; at most 8."""
    return max(1, min(MOST, len(os.sched_getaffinity(0)) // local_world()))


def map_in_order(
    function: Callable[[ITEM], RESULT], items: Iterable[ITEM], workers: int | None = None
) -> Iterator[RESULT]:
    """The results in the order of the items, whatever the number of threads (default: `workers_here`).

    Items are taken as they are needed: at most one more than there are threads is held at a time. An error is raised
    in the place of its result; what was begun behind it is finished and thrown away.
    """
    count = workers or workers_here()
    if count == 1:
        yield from map(function, items)
        return
    rest = iter(items)
    for item in rest:
        yield function(item)  # alone: what is imported on first use is not imported by two threads at once
        break
    waiting: deque[Future[RESULT]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="vesselbench-score") as pool:
        for item in rest:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
