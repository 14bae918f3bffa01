"""The high-water mark of this process's memory, begun anew for each thing that is measured."""

from __future__ import annotations

from pathlib import Path

import torch

from vesselbench.allocator import give_back_freed_pages
from vesselbench.training.gauges import peak_memory_bytes

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class HighWater:
    """Memory from its making on: `before` is what the process held then, in bytes.

    On CUDA that of torch's allocator, else the resident set. Where the system cannot begin its mark anew (it is not
    Linux) the mark is that of the whole process. Pages that the process has freed but kept are given back first: used
    again, they would not be counted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before = int(torch.cuda.memory_allocated(device))
        elif CLEAR.exists():
            give_back_freed_pages()
            CLEAR.write_text("5", encoding="ascii")
            self.before = _status("VmRSS")
        else:
            self.before = peak_memory_bytes(device)

    def peak(self) -> int:
        """Most bytes held since then."""
        return (
            peak_memory_bytes(self._device) if self._device.type == "cuda" or not CLEAR.exists() else _status("VmHWM")
        )

    def grown(self) -> int:
        """The same above `before`."""
        return max(0, self.peak() - self.before)


def _status(field: str) -> int:
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
