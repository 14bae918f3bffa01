"""No annotation file and no image takes a check down: not by an exception, a crash, ten seconds or a gigabyte.

Longer: ``VESSELBENCH_FUZZ=20 pytest tests/fuzz -s`` runs twenty times as many cases and prints what they met.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("worker.py")
TIMES = int(os.environ.get("VESSELBENCH_FUZZ", "1"))
EXAMPLES = 150 * TIMES
EXPECTED = {
    "coco": {"not-finite", "wrong-kind", "missing-key", "rle-short", "not-json"},
    "sa2va": {"not-finite", "wrong-kind", "missing-key", "not-json", "text-count"},
    "labelme": {"not-finite", "wrong-kind", "missing-key", "not-json"},
    "images": {"truncated-image", "unreadable"},
}


@pytest.mark.timeout(120 + 60 * TIMES)
@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_nothing_takes_a_check_down(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, str(WORKER), kind, str(EXAMPLES), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    case = tmp_path / "case.json"
    shown = case.read_bytes()[:2000] if case.is_file() else b"before the first case"
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-4000:]}\nin this case: {shown!r}"
    found = json.loads(done.stdout.splitlines()[-1])
    sys.stdout.write(f"{kind}: {found}\n")
    assert found["cases"] >= EXAMPLES // 2
    assert found["slowest"] < 10
    assert found["grown_mb"] < 1000
    assert EXPECTED[kind] <= set(found["codes"]), "the mutations no longer reach what they are for"
    assert found["usable"] > found["cases"] // 10, "hardly a case gets past the first check"
    assert found["mended"] > found["cases"] // 20, "hardly a case is mended"
    assert found["converted"] > found["cases"] // 20, "hardly a case is converted"
