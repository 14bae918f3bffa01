"""Fixtures made with the official code: everything is read from their folder, nothing is assumed of one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vesselbench import Task
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.tokens import IGNORED

Rows = list[tuple[str, float, float]]
ROWS = pytest.StashKey[Rows]()
SHARED = Path(__file__).parents[2] / "../shared"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "oracle" not in metafunc.fixturenames:
        return
    given = [Path(folder) for folder in metafunc.config.getoption("--parity-dir")]
    folders = given or sorted(path.parent for path in (SHARED / "parity").glob("*/expected.safetensors"))
    absent = pytest.param(None, marks=pytest.mark.skip(reason="no parity fixture beside the repository"), id="absent")
    metafunc.parametrize(
        "oracle", [pytest.param(f, id=f.name) for f in folders] or [absent], indirect=True, scope="session"
    )


@dataclass(frozen=True)
class Oracle:
    """One folder: what the official code was given and what it made of it."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text())

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        return load_file(self.folder / "inputs.safetensors")

    @cached_property
    def expected(self) -> dict[str, Tensor]:
        return load_file(self.folder / "expected.safetensors")

    @cached_property
    def samples(self) -> int:
        return int(self.inputs["input_ids"].shape[0])

    @cached_property
    def tiles(self) -> Tensor:
        return torch.cat([self.inputs[f"pixel_values.{i}"] for i in range(self.samples)])

    @cached_property
    def masks(self) -> list[Tensor]:
        """All masks, uint8 [H,W], sample by sample."""
        return [mask for i in range(self.samples) for mask in self.inputs[f"gt_masks.{i}"]]

    @cached_property
    def seg(self) -> Tensor:
        """[N,3]: sample, place and number of each [SEG]."""
        rows, places = torch.nonzero(self.inputs["input_ids"] == self.config["tokens"]["seg"], as_tuple=True)
        numbers = [int((rows[:i] == row).sum()) for i, row in enumerate(rows)]
        return torch.stack([rows, places, torch.tensor(numbers)], 1)

    @cached_property
    def valid(self) -> Tensor:
        return self.inputs["attention_mask"].bool()

    def build(self, **values: Any) -> Sa2VAModule:
        """The module with the fixture's weights, read by the plugin's own import."""
        given = {"size": "auto", "weights": [str(self.folder)], "lora": {"r": 4, "alpha": 8, "dropout": 0}}
        module = Sa2VA().build(Sa2VAConfig.model_validate(given | values), Task(("vessel",)))
        assert isinstance(module, Sa2VAModule)
        return module.eval()

    def states(self, module: Sa2VAModule) -> Tensor:
        dtype = module.text_hidden_fcs[0].weight.dtype
        attention = self.inputs["attention_mask"].long()
        return module.language_states(self.tiles.to(dtype), self.inputs["input_ids"], attention)

    def llm_loss(self, module: Sa2VAModule, states: Tensor) -> Tensor:
        labels = self.inputs["labels"][:, 1:]
        learned = labels != IGNORED
        return torch.nn.functional.cross_entropy(module.token_logits(states[:, :-1][learned]), labels[learned])

    def candidates(self, module: Sa2VAModule, states: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N,3,h,w] and predicted IoU [N,3] of all objects."""
        return module.prompt_masks(self.inputs["grounding_pixel_values"].to(states.dtype), states, self.seg)


@pytest.fixture(scope="session")
def oracle(request: pytest.FixtureRequest) -> Oracle:
    torch.set_num_threads(1)
    return Oracle(request.param)


@pytest.fixture(scope="session")
def module(oracle: Oracle) -> Sa2VAModule:
    return oracle.build(freeze="none")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Rows:
    """Rows of (stage, largest difference, tolerance); shown after the tests."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("parity with the official code")
    for stage, difference, tolerance in rows:
        terminalreporter.write_line(f"{stage:100s} {difference:9.2e}  tolerance {tolerance:.0e}")
