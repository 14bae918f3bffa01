"""Energy counters on a sysfs folder made here: sums, the counter that starts again, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from vesselbench.training.gauges import Gauges, Nvml, Rapl, peak_memory_bytes

CPU = torch.device("cpu")


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, one with a domain inside it (which must not be counted twice), and a domain that is no package."""
    for folder, name, energy in (
        ("intel-rapl:0", "package-0", 1_000_000),
        ("intel-rapl:0:0", "core", 500_000),
        ("intel-rapl:1", "package-1", 7_000_000),
        ("intel-rapl:2", "psys", 9_000_000),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(f"{name}\n")
        (tmp_path / folder / "max_energy_range_uj").write_text("10000000\n")
        spend(tmp_path, folder, energy)
    return tmp_path


def spend(root: Path, folder: str, microjoules: int) -> None:
    (root / folder / "energy_uj").write_text(f"{microjoules}\n")


def test_energy_is_the_difference_of_the_packages_alone(powercap):
    rapl = Rapl(powercap)
    spend(powercap, "intel-rapl:0", 3_500_000)
    spend(powercap, "intel-rapl:0:0", 3_000_000)
    spend(powercap, "intel-rapl:1", 8_000_000)
    assert rapl.read() == 3.5
    assert rapl.read() == 0.0
    assert rapl.joules == 3.5


def test_a_counter_that_started_again_at_zero_loses_nothing(powercap):
    rapl = Rapl(powercap)
    spend(powercap, "intel-rapl:1", 2_000_000)  # 7 -> 10 = 0 -> 2
    assert rapl.read() == 5.0
    spend(powercap, "intel-rapl:1", 1_000_000)
    assert rapl.read() == 9.0
    assert rapl.joules == 14.0


@pytest.mark.parametrize("missing", ["energy_uj", "max_energy_range_uj"])
def test_a_counter_that_cannot_be_read_makes_the_energy_unknown_for_good(powercap, missing):
    rapl = Rapl(powercap)
    spend(powercap, "intel-rapl:1", 2_000_000)
    (powercap / "intel-rapl:1" / missing).unlink()
    assert rapl.read() is None
    assert (rapl.read(), rapl.joules) == (None, None)


def test_no_counter_is_no_energy_rather_than_zero(tmp_path):
    assert (Rapl(tmp_path).read(), Rapl(tmp_path).joules) == (None, None)
    assert Rapl(tmp_path / "absent").joules is None


def test_only_the_first_process_of_a_machine_reads_its_counters(powercap, monkeypatch):
    assert Gauges(CPU, powercap).energy() == {"cpu_joules": 0.0}
    monkeypatch.setitem(os.environ, "LOCAL_RANK", "1")
    assert Gauges(CPU, powercap).energy() == {}
    assert set(Gauges(CPU, powercap).read()) == {"peak_memory_bytes"}


def test_peak_memory_of_a_process_on_the_cpu_is_its_resident_set():
    assert 50e6 < peak_memory_bytes(CPU) < 1e12
    assert Nvml.of(CPU) is None


class Library:
    """What the management library answers, as one object; `refused` questions raise its error."""

    class NVMLError(Exception):
        pass

    def __init__(self, refused: str = "") -> None:
        self.energy, self.refused = 5_000, refused

    def _answer(self, question: str, value):
        if question == self.refused:
            raise self.NVMLError
        return value

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._answer("energy", self.energy)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("power", 167_000)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return self._answer("rates", type("Rates", (), {"gpu": 97}))


def test_a_gpu_tells_watts_joules_and_a_share():
    library = Library()
    gpu = Nvml(library, "handle")
    library.energy = 12_500
    assert gpu.read() == {"gpu_utilisation": 0.97, "gpu_power_watts": 167.0, "gpu_energy_joules": 7.5}
    library.energy = 13_000
    assert gpu.read()["gpu_energy_joules"] == 0.5
    assert gpu.joules == 8.0


@pytest.mark.parametrize(
    ("refused", "name"),
    [("energy", "gpu_energy_joules"), ("power", "gpu_power_watts"), ("rates", "gpu_utilisation")],
)
def test_what_a_gpu_does_not_tell_is_absent_and_the_rest_is_there(refused, name):
    answers = Nvml(Library(refused), "handle").read()
    assert [key for key, value in answers.items() if value is None] == [name]


def test_the_energy_of_a_resumed_training_is_that_of_all_its_parts(powercap):
    before = Gauges(CPU, powercap)
    spend(powercap, "intel-rapl:0", 3_500_000)
    before.read()
    after = Gauges(CPU, powercap)
    after.restore(before.state())
    spend(powercap, "intel-rapl:0", 4_000_000)
    after.read()
    assert after.energy() == {"cpu_joules": 3.0}


def test_energy_that_one_part_could_not_read_is_unknown_of_the_whole(powercap, tmp_path_factory):
    blind = Gauges(CPU, tmp_path_factory.mktemp("empty"))
    after = Gauges(CPU, powercap)
    after.restore(blind.state())
    assert after.energy() == {"cpu_joules": None}
