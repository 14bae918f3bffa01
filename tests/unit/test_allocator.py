from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource

def faults_of_a_round():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * 20_000_000 for _ in range(12)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{first}
faults_of_a_round()
print(faults_of_a_round())
"""


def faults(first: str) -> int:
    """Page faults of the second time that a new process takes and frees 240 MB."""
    command = [sys.executable, "-c", FAULTS.format(first=first)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def untold():
    return faults("")


def test_freed_blocks_are_used_again_without_new_pages(untold):
    assert faults("from vesselbench.allocator import keep_freed_pages; keep_freed_pages()") * 20 < untold


def test_a_training_on_a_processor_keeps_its_pages(untold):
    started = "from vesselbench.training.engine import prepare_process; prepare_process(TrainConfig(device='cpu'))"
    assert faults(f"from vesselbench.config import TrainConfig; {started}") * 20 < untold
