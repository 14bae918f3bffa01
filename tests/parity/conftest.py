"""What parity is held against: folders that the official code made, and more that the independent reference makes.

Everything is read from a fixture's folder, nothing is assumed of one of them. The official code stored its numbers in
float32. The reference, which test_reference.py holds to those, gives the same fixture in float64, where the plugin must
be far nearer, and one of other dimensions, with two images, unequal tiles and masks, and padded text.
"""

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

from tests.parity.reference.drawn import CONFIG, write_drawn
from tests.parity.reference.fixture import read_reference, write_twin
from tests.parity.reference.model import Reference
from tests.parity.tolerances import Close, allowed
from vesselbench import Task
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.losses import OFFICIAL_EPS, answer_losses, point_losses, sample_map, sample_masks, shrink_masks
from vesselbench_sa2va.merged import official_tensors
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.release import shape_from
from vesselbench_sa2va.tokens import IGNORED

Rows = list[tuple[str, float, float]]
ROWS = pytest.StashKey[Rows]()
SHARED = Path(__file__).parents[2] / "../shared"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`stored`: each folder; `oracle`: each, its twin in float64, and one of other dimensions."""
    given = [Path(folder) for folder in metafunc.config.getoption("--parity-dir")]
    folders = given or sorted(path.parent for path in (SHARED / "parity").glob("*/expected.safetensors"))
    stored = [pytest.param(folder, id=folder.name) for folder in folders]
    if "stored" in metafunc.fixturenames:
        absent = pytest.param(None, marks=pytest.mark.skip(reason="no fixture beside the repository"), id="absent")
        metafunc.parametrize("stored", stored or [absent], scope="session")
    if "oracle" in metafunc.fixturenames:
        twins = [pytest.param(f"twin {folder}", id=f"{folder.name}-in-float64") for folder in folders]
        made = [*twins, pytest.param("drawn", id="drawn")]
        metafunc.parametrize("oracle", [*stored, *made], indirect=True, scope="session")


@dataclass(frozen=True)
class Oracle:
    """One folder: what the official code was given and what it made of it."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text())

    @property
    def dtype(self) -> str:
        """float32 or float64: what it is stored in, and what the plugin computes in beside it."""
        return str(self.config["dtype"])

    @cached_property
    def truth(self) -> Reference:
        """The same numbers without rounding, as far as float64 goes."""
        return read_reference(self.folder, torch.float64, inner=torch.float64)

    @cached_property
    def exact(self) -> dict[str, Tensor]:
        """Its stages and losses, under the names of `expected`."""
        truth = self.truth
        losses = truth.losses(self.expected["train.point_coords"])
        found = truth.stages() | {f"train.{name}": value for name, value in losses.items()}
        found |= {f"train_dense.{name}": value for name, value in truth.dense_losses().items()}
        return found | {"train.pred_masks": truth.trained}

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
        """The module with the fixture's weights, read by the plugin's own import; it computes in the fixture's dtype,
        with the official code's attention."""
        given = {"size": "auto", "weights": [str(self.folder)], "lora": {"r": 4, "alpha": 8, "dropout": 0}}
        given |= {"dtype": self.dtype, "attention": "eager"}
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
        logits = module.token_logits(states[:, :-1][learned])
        every = torch.zeros(len(logits), dtype=torch.long)  # the official mean is over all tokens of all texts
        return answer_losses(logits, labels[learned], every, 1, module.shape.tokens.seg)["loss_llm"]

    def candidates(self, module: Sa2VAModule, states: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N,3,h,w] and predicted IoU [N,3] of all objects."""
        return module.prompt_masks(self.inputs["grounding_pixel_values"].to(states.dtype), states, self.seg)

    def rows(self, chosen: Tensor) -> Tensor:
        """Which of our objects [N,h,w] stands in each of the official rows, which repeat a sample's objects."""
        official = self.expected["train.pred_masks"]
        each = official.shape[0] // self.samples
        rows = []
        for index, mask in enumerate(official):
            own = (self.seg[:, 0] == index // each).nonzero()[:, 0]
            distance = (chosen.detach()[own] - mask).abs().flatten(1).amax(1)
            rows.append(own[distance.argmin()])
        return torch.stack(rows)

    def mask_losses(self, chosen: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits and targets at the stored points, and the two mask losses with the official weights."""
        weights, rows = self.config["losses"], self.rows(chosen) if rows is None else rows
        points = self.expected["train.point_coords"].to(chosen.dtype)
        small = shrink_masks(self.masks, torch.ones(len(self.masks), 2), chosen.shape[-1])
        targets = sample_masks([small[row] for row in rows.tolist()], points)
        logits = sample_map(chosen[rows][:, None], points)[:, 0]
        entropy, dice = point_losses(logits, targets, OFFICIAL_EPS)
        return logits, targets, weights["mask_weight"] * entropy.mean(), weights["dice_weight"] * dice.mean()


@pytest.fixture(scope="session")
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    torch.set_num_threads(1)
    if isinstance(request.param, Path):
        return Oracle(request.param)
    folder = tmp_path_factory.mktemp("parity") / "fixture"
    if request.param == "drawn":
        write_drawn(folder, _drawn_shapes(folder.parent))
    else:
        write_twin(Path(request.param.removeprefix("twin ")), folder)
    return Oracle(folder)


def _drawn_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Official keys and shapes of the drawn fixture's model; only its weights are drawn by them."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with torch.device("meta"):
        module = Sa2VAModule(shape_from(folder), Sa2VAConfig(freeze="none"), frozen=False)
    return {key: tuple(tensor.shape) for key, tensor in official_tensors(module)}


@pytest.fixture(scope="session")
def module(oracle: Oracle) -> Sa2VAModule:
    return oracle.build(freeze="none")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Rows:
    """Rows of (stage, largest difference, tolerance); shown after the tests."""
    return request.config.stash.setdefault(ROWS, [])


@pytest.fixture
def close(table: Rows) -> Close:
    """Holds a stage to a tolerance, in absolute numbers (see `allowed`), and notes what was found."""

    def check(
        stage: str, ours: Tensor, official: Tensor, tolerance: float, exact: Tensor | None = None, fused: bool = False
    ) -> None:
        assert ours.shape == official.shape, stage
        tolerance = allowed(tolerance, official, exact, fused)
        difference = float((ours.detach().double() - official.detach().double()).abs().max())
        table.append((stage, difference, tolerance))
        assert difference <= tolerance, f"{stage}: {difference:.2e}"

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("parity with the official code")
    for stage, difference, tolerance in rows:
        terminalreporter.write_line(f"{stage:100s} {difference:9.2e}  tolerance {tolerance:.1e}")
