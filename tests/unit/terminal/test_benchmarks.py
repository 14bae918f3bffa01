"""The table of a benchmark has a column per recipe and says where one has no such entry."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from tests.unit.benchmarking.test_figures import STEP
from tests.unit.benchmarking.test_kept import result
from vesselbench.terminal.benchmarks import benchmark_table


def drawn(*benchmarks) -> list[str]:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(benchmark_table(benchmarks))
    return capture.get().splitlines()


def line(lines: list[str], head: str) -> list[str]:
    (found,) = [text for text in lines if text.strip().startswith(head)]
    return found.split()


def test_a_model_without_training_has_no_step_and_work_without_operations_no_utilisation():
    untrained = replace(result(), recipe="frangi", figures=(replace(STEP, what="prediction", flops=0),))
    lines = drawn(result(), untrained)
    assert line(lines, "training step, seconds")[-2:] == ["0.3", "-"]
    assert line(lines, "prediction, seconds")[-2:] == ["-", "0.3"]
    shares = [text.split()[-2:] for text in lines if "utilisation (matmul" in text]
    assert shares == [["10.0%", "-"], ["-", "-"]]


def test_the_table_names_the_machine_and_what_was_counted():
    text = " ".join(" ".join(drawn(result())).split())
    assert "Seconds per iteration on Xeon (6.1.2), 4 of 8 cores, torch 2.13.0" in text
    assert "share of the fastest matmul and convolution of the same run" in text
