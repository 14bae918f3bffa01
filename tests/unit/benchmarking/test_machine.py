"""Whatever changes times changes the fingerprint; the name of a processor comes from what Linux tells."""

from __future__ import annotations

import os
from dataclasses import fields, replace

import pytest

from vesselbench.benchmarking.machine import Machine, processor_name, this_machine

MACHINE = Machine("Xeon (6.1.2)", 8, 4, "cpu", "Linux x86_64", "3.12", "2.13.0")


@pytest.mark.parametrize("field", [field.name for field in fields(Machine)])
def test_every_fact_is_part_of_the_fingerprint(field):
    other = replace(MACHINE, **{field: 3 if field in ("cores", "threads") else "other"})
    assert other.fingerprint != MACHINE.fingerprint
    assert len(other.fingerprint) == 16


def test_the_same_machine_has_the_same_fingerprint():
    assert this_machine(1).fingerprint == this_machine(1).fingerprint
    assert this_machine(1).fingerprint != this_machine(2).fingerprint
    assert 1 <= this_machine(1).cores <= (os.cpu_count() or 1)


def test_a_processor_is_told_by_name_family_model_and_stepping(tmp_path):
    first = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Intel(R)  Xeon(R)\nstepping\t: 1\n"
    (tmp_path / "cpuinfo").write_text(f"{first}\n{first.replace('167', '9')}\n")
    assert processor_name(tmp_path / "cpuinfo") == "Intel(R) Xeon(R) (6.167.1)"
    assert processor_name(tmp_path / "absent")
