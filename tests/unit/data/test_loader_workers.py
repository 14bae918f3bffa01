"""The processes of the loader, seen from outside."""

from __future__ import annotations

import subprocess
import sys


def test_a_program_that_leaves_its_iterator_open_ends_all_the_same(tmp_path):
    script = """
import sys
from pathlib import Path
from vesselbench.config import TrainConfig
from vesselbench.data.loader import train_batches
from vesselbench.data.synthetic.phantom import Phantom
samples = list(Phantom().read(Path(sys.argv[1]), {"images": 6, "size": 64}))
batches = train_batches(samples, len, TrainConfig(steps=3, batch_size=1, workers=1), 0, 1)
next(batches)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
