"""Memory, utilisation, power and energy, read from what the machine offers. What cannot be read is None, never 0."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vesselbench.training.state import State

POWERCAP = Path("/sys/class/powercap")


def peak_memory_bytes(device: torch.device) -> int:
    """Highest memory of this process so far: CUDA's allocator on a GPU, else the resident set."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


class Rapl:
    """Energy of the processor packages by the kernel's running average power limit counters.

    They count for the whole machine, whoever uses it. `root` holds ``intel-rapl:<package>/energy_uj`` (AMD has the same
    names) and ``max_energy_range_uj``, the value after which the counter starts at 0 again.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        packages = sorted(path for path in root.glob("*:*") if path.name.count(":") == 1)
        self._packages = [path for path in packages if _text(path / "name").startswith("package")]
        self._before = [_number(path / "energy_uj") for path in self._packages]
        self.joules: float | None = 0.0 if self._before and None not in self._before else None
        """Since the start, all packages; None when a counter is absent or closed to this user."""

    def read(self) -> float | None:
        """Joules since the last call."""
        if self.joules is None:
            return None
        now = [_number(path / "energy_uj") for path in self._packages]
        used = 0
        for path, before, after in zip(self._packages, self._before, now, strict=True):
            if before is None or after is None:
                self.joules = None
                return None
            if after < before:  # started again at 0; the longest range known lasts minutes at full power
                limit = _number(path / "max_energy_range_uj")
                if limit is None:
                    self.joules = None
                    return None
                after += limit
            used += after - before
        self._before = now
        self.joules += used / 1e6
        return used / 1e6


class Nvml:
    """One GPU by NVIDIA's management library, where ``pip install nvidia-ml-py`` has brought it (extra: gpu)."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle
        self._before = self._energy()
        self.joules: float | None = None if self._before is None else 0.0
        """Since the start; None when the GPU does not count it (before Volta)."""

    @classmethod
    def of(cls, device: torch.device) -> Nvml | None:
        """The GPU behind a CUDA device; None on CPU, without the library and without a driver that answers."""
        if device.type != "cuda":
            return None
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        except pynvml.NVMLError:
            return None
        return cls(pynvml, handle)

    def read(self) -> dict[str, float | None]:
        """Utilisation in [0, 1] over NVML's last sample period, power in W now, energy in J since the last call."""
        power = self._ask(self._library.nvmlDeviceGetPowerUsage)
        rates = self._ask(self._library.nvmlDeviceGetUtilizationRates)
        now, used = self._energy(), None
        if now is not None and self._before is not None and self.joules is not None and now >= self._before:
            used = (now - self._before) / 1000
            self.joules += used
        else:
            self.joules = None  # a driver was loaded anew: the sum would lack a part
        self._before = now
        return {
            "gpu_utilisation": None if rates is None else rates.gpu / 100,
            "gpu_power_watts": None if power is None else power / 1000,
            "gpu_energy_joules": used,
        }

    def _energy(self) -> int | None:
        """Millijoules since the driver was loaded."""
        value = self._ask(self._library.nvmlDeviceGetTotalEnergyConsumption)
        return None if value is None else int(value)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            return question(self._handle)
        except self._library.NVMLError:
            return None


class Gauges:
    """What this rank can read; the machine's own counters are read by the first rank of each machine alone."""

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        self._device = device
        self._gpu = Nvml.of(device)
        self._cpu = Rapl(powercap) if os.environ.get("LOCAL_RANK", "0") == "0" else None

    def read(self) -> dict[str, float | None]:
        """peak_memory_bytes; on CUDA gpu_utilisation, gpu_power_watts, gpu_energy_joules; cpu_energy_joules.

        Energies are those since the last call.
        """
        values: dict[str, float | None] = {"peak_memory_bytes": peak_memory_bytes(self._device)}
        if self._gpu is not None:
            values |= self._gpu.read()
        elif self._device.type == "cuda":
            values |= dict.fromkeys(("gpu_utilisation", "gpu_power_watts", "gpu_energy_joules"))
        if self._cpu is not None:
            values["cpu_energy_joules"] = self._cpu.read()
        return values

    def state(self) -> State:
        """The energy so far, so that a resumed training tells of all its steps."""
        return State({"cpu": self._cpu and self._cpu.joules, "gpu": self._gpu and self._gpu.joules})

    def restore(self, state: State) -> None:
        for meter, before in ((self._cpu, state.values["cpu"]), (self._gpu, state.values["gpu"])):
            if meter is not None:  # what one part could not read, the whole does not know
                meter.joules = None if before is None or meter.joules is None else meter.joules + before

    def energy(self) -> dict[str, float | None]:
        """gpu_joules of this rank's GPU and cpu_joules of this machine since the start, without what came after the
        last `read`."""
        values: dict[str, float | None] = {}
        if self._device.type == "cuda":
            values["gpu_joules"] = None if self._gpu is None else self._gpu.joules
        if self._cpu is not None:
            values["cpu_joules"] = self._cpu.joules
        return values


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # readable by root alone on most machines
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None
