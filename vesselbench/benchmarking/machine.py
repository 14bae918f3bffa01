"""On what was measured: facts of the machine, and a fingerprint under which its figures may be compared (no torch)."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """Whatever changes times by itself. Figures of two machines are never set beside each other."""

    processor: str
    cores: int
    """That this process may use."""
    threads: int
    """That torch computes with."""
    device: str
    """cpu, or the GPU's name."""
    system: str
    python: str
    torch: str

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 of all facts."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def words(self) -> str:
        """In one line, for people."""
        place = self.processor if self.device == "cpu" else f"{self.device}, {self.processor}"
        return f"{place}, {self.threads} of {self.cores} cores, torch {self.torch}"


def this_machine(threads: int, device: str = "cpu") -> Machine:
    """The machine that this process runs on. `device`: cpu, or the name of the GPU that is used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        processor=processor_name(),
        cores=cores,
        threads=threads,
        device=device,
        system=f"{platform.system()} {platform.machine()}",
        python=".".join(platform.python_version_tuple()[:2]),
        torch=version("torch"),
    )


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """Model name with family, model and stepping where Linux tells them (virtual machines hide the name), else what
    Python knows."""
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").split("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in lines}
    numbers = [facts[key] for key in ("cpu family", "model", "stepping") if key in facts]
    name = " ".join(facts.get("model name", platform.machine()).split())
    return f"{name} ({'.'.join(numbers)})" if numbers else name
