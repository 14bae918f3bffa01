"""Devices and interconnects as data: ``configs/hardware`` and ``configs/interconnects``, with the sources."""

from __future__ import annotations

from importlib.resources import files as package_files
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from vesselbench.errors import UserError
from vesselbench.plugins import nearest
from vesselbench.recipes import SHIPPED, read_yaml, validate_options


class Facts(BaseModel):
    """Frozen, unknown keys refused. `source`: where the figures come from, and which of them are assumed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    source: str = Field(min_length=1)


class Device(Facts):
    """One accelerator, or the processor. Peaks in TFLOP/s by precision, memory in GiB, its bandwidth in GB/s."""

    kind: Literal["cuda", "cpu"]
    peak_tflops: dict[Literal["bf16", "fp32"], float]
    memory_gib: float = Field(gt=0)
    memory_gbps: float = Field(gt=0)
    watts: float = Field(gt=0)
    peer_to_peer: bool


class Interconnect(Facts):
    """GB/s per rank and direction: `direct` between devices, `staged` through the host's memory where they cannot reach
    each other, `host` between a device and the host's memory. `latency_us`: of one collective."""

    direct_gbps: float = Field(gt=0)
    staged_gbps: float = Field(gt=0)
    host_gbps: float = Field(gt=0)
    latency_us: float = Field(ge=0)

    def between(self, device: Device) -> float:
        """Bytes/s and direction that a ring of such devices reaches."""
        return 1e9 * (self.direct_gbps if device.peer_to_peer else self.staged_gbps)


FACTS = TypeVar("FACTS", bound=Facts)


def device_named(name: str) -> Device:
    """UserError, with the known names, for another one."""
    return _read(Device, "hardware", "device", name)


def interconnect_named(name: str) -> Interconnect:
    """UserError, with the known names, for another one."""
    return _read(Interconnect, "interconnects", "interconnect", name)


def names_of(folder: Literal["hardware", "interconnects"]) -> list[str]:
    """What can be named, sorted."""
    return sorted(entry.name[:-5] for entry in package_files(SHIPPED).joinpath(folder).iterdir())


def _read(schema: type[FACTS], folder: Literal["hardware", "interconnects"], what: str, name: str) -> FACTS:
    """A file of the user's own (NAME.yaml) or a shipped one."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else None
    if path is None:
        if name not in names_of(folder):
            raise UserError(f"no {what} named {name!r}", f"{nearest(name, names_of(folder))}; or a YAML file of yours")
        path = Path(str(package_files(SHIPPED).joinpath(folder).joinpath(f"{name}.yaml")))
    if not path.is_file():
        raise UserError(f"{path} is no file", f"shipped: {', '.join(names_of(folder))}")
    return validate_options(schema, read_yaml(path), "")
