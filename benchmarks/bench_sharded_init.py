"""Memory and time of building a model on base weights on two ranks under ZeRO-3: plainly and sharded."""

from __future__ import annotations

import pytest

from tests.base_folder import write_base
from tests.distributed.sharded_worker import launch
from tests.distributed.test_sharded_init import BIG, recipe

WIDE = {**BIG, "num_hidden_layers": 12}
"""0.18 billion parameters in float32."""


@pytest.mark.parametrize("init", ["plain", "sharded"])
def bench_sharded_init(timed, tmp_path, init):
    size = WIDE if timed.enabled else {}  # else it takes half a minute
    small, large = write_base(tmp_path / "small"), write_base(tmp_path / "large", shards=2, **size)
    jobs = {"first": recipe(small, init), "timed": recipe(large, init)}  # the first one imports all code
    found: list[list[dict[str, float]]] = []

    def build() -> None:
        folder = tmp_path / str(len(found))  # the ranks meet in a file of it
        folder.mkdir()
        found.append(launch(folder, jobs))

    timed(build, samples=1, data=0.0, rounds=3, warmup=1, counted=False)
    slowest = max((rank["timed"] for rank in found[-1]), key=lambda facts: facts["grown"])
    timed.note(**{f"build_{name}": value for name, value in slowest.items()}, init=init)
