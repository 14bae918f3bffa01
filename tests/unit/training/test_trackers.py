"""Trackers get numbers by name and nothing else, stay on this machine unless asked, and say what is missing."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from vesselbench.errors import UserError
from vesselbench.plugins import load_catalogue
from vesselbench.training.trackers import MLflow, TensorBoard, Trackers, WandB
from vesselbench.types import ScoreRow, Scores

SCORES = Scores((ScoreRow("Meyer_1961", "Meyer", "vessel", {"dice": 0.5}),), "val", 0.4, "f" * 64, {"dice": 1})
BUILT_IN = (TensorBoard, MLflow, WandB)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue("")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "unet" / "20260101-100000-abcd"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def mlflow(monkeypatch) -> list[tuple]:
    """A module of mlflow's name that notes what its client is asked to do."""
    calls: list[tuple] = []
    known: dict[str, str] = {}

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            calls.append(("uri", tracking_uri))

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            calls.append(("experiment", name))
            return "7"

        def search_runs(self, experiments: list[str], wanted: str, max_results: int) -> list[types.SimpleNamespace]:
            label = wanted.removeprefix("tags.`vesselbench.run` = ").strip("'")
            return [types.SimpleNamespace(info=types.SimpleNamespace(run_id=known[label]))] if label in known else []

        def update_run(self, run_id: str, status: str) -> None:
            calls.append(("again", run_id, status))

        def create_run(self, experiment: str, run_name: str, tags: dict[str, str]):
            calls.append(("run", experiment, run_name))
            known[tags["vesselbench.run"]] = "r1"
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

        def log_batch(self, run_id: str, metrics: list[tuple]) -> None:
            calls.append(("log", run_id, [(name, value, step) for name, value, _, step in metrics]))

        def set_terminated(self, run_id: str) -> None:
            calls.append(("end", run_id))

    module = types.ModuleType("mlflow")
    module.MlflowClient = Client
    module.entities = types.SimpleNamespace(Metric=lambda name, value, time, step: (name, value, time, step))
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return calls


@pytest.fixture
def wandb(monkeypatch) -> list[tuple]:
    """The same for wandb."""
    calls: list[tuple] = []

    class Run:
        def log(self, values: dict[str, float], step: int) -> None:
            calls.append(("log", dict(values), step))

        def finish(self) -> None:
            calls.append(("end",))

    def init(**options) -> Run:
        calls.append(("init", options))
        return Run()

    module = types.ModuleType("wandb")
    module.init = init
    module.Settings = dict
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def use(names: list[str], run: Path, catalogue) -> None:
    with Trackers(names, run, catalogue, True) as trackers:
        trackers.log(1, {"loss": 0.5, "lr": 1e-3})
        trackers.log(2, {"loss": 0.25})
        trackers.log(2, {"val/dice": 0.75})
        trackers.scores = SCORES


def test_tensorboard_holds_every_value_at_its_step_and_no_name_of_a_sample(run, catalogue):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    use(["tensorboard"], run, catalogue)
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    told = {tag: [(e.step, pytest.approx(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert told == {"loss": [(1, 0.5), (2, 0.25)], "lr": [(1, 1e-3)], "val/dice": [(2, 0.75)]}
    for path in run.rglob("*"):
        assert path.is_dir() or b"Meyer" not in path.read_bytes()


def test_tensorboard_shows_steps_that_come_again_after_a_resume_once(run, catalogue):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Trackers(["tensorboard"], run, catalogue, True) as trackers:
        for step in range(1, 6):
            trackers.log(step, {"loss": 1.0 / step})
    with Trackers(["tensorboard"], run, catalogue, True) as trackers:
        trackers.resume(3)
        for step in range(4, 8):
            trackers.log(step, {"loss": 2.0 / step})
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6, 7]
    assert events.Scalars("loss")[3].value == pytest.approx(0.5)


def test_mlflow_writes_into_the_run_and_does_not_call_home(run, catalogue, mlflow):
    use(["mlflow"], run, catalogue)
    assert mlflow == [
        ("uri", (run / "mlruns").as_uri()),
        ("experiment", "vesselbench"),
        ("run", "7", "unet/20260101-100000-abcd"),
        ("log", "r1", [("loss", 0.5, 1), ("lr", 1e-3, 1)]),
        ("log", "r1", [("loss", 0.25, 2)]),
        ("log", "r1", [("val/dice", 0.75, 2)]),
        ("end", "r1"),
    ]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_mlflow_goes_elsewhere_when_asked(run, catalogue, mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///tracking.db")
    use(["mlflow"], run, catalogue)
    assert mlflow[0] == ("uri", "sqlite:///tracking.db")


def test_a_training_that_goes_on_adds_to_its_own_run(run, catalogue, mlflow, wandb):
    use(["mlflow", "wandb"], run, catalogue)
    begun = len(mlflow)
    use(["mlflow", "wandb"], run, catalogue)
    assert [call[0] for call in mlflow[:begun]].count("run") == 1
    assert ("again", "r1", "RUNNING") in mlflow[begun:]
    assert "run" not in [call[0] for call in mlflow[begun:]]
    ids = [(call[1]["id"], call[1]["resume"]) for call in wandb if call[0] == "init"]
    assert ids == [("unet-20260101-100000-abcd", "allow")] * 2


@pytest.mark.parametrize("asked", [None, "online"])
def test_wandb_is_offline_unless_asked_and_is_told_nothing_of_the_machine(run, catalogue, wandb, monkeypatch, asked):
    if asked:
        monkeypatch.setenv("WANDB_MODE", asked)
    use(["wandb"], run, catalogue)
    (_, options), *rest = wandb
    assert options["mode"] == (asked or "offline")
    assert options["dir"] == str(run)
    settings = options["settings"]
    assert (settings["console"], settings["host"], settings["save_code"]) == ("off", "withheld", False)
    assert all(settings[name] for name in ("disable_git", "disable_code", "x_disable_meta", "x_disable_machine_info"))
    assert "config" not in options, "settings name folders and patients"
    assert rest == [
        ("log", {"loss": 0.5, "lr": 1e-3}, 1),
        ("log", {"loss": 0.25}, 2),
        ("log", {"val/dice": 0.75}, 2),
        ("end",),
    ]


@pytest.mark.parametrize(
    ("name", "package", "pip"),
    [("tensorboard", "tensorboard", "tensorboard"), ("mlflow", "mlflow", "mlflow-skinny"), ("wandb", "wandb", "wandb")],
)
def test_a_tracker_that_is_not_installed_is_an_error_that_says_how_to_install_it(
    name, package, pip, run, catalogue, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as caught, Trackers([name], run, catalogue, True):
        pass
    assert repr(name) in caught.value.message
    assert caught.value.hint == f"pip install {pip}"


def test_the_built_in_trackers_are_registered_and_none_starts_unless_it_is_named(run, catalogue, mlflow, wandb):
    assert {kind.name for kind in BUILT_IN} <= set(catalogue.trackers)
    use([], run, catalogue)
    with Trackers(["mlflow", "wandb"], run, catalogue, False) as others:  # a rank other than 0
        others.log(1, {"loss": 1.0})
    assert (mlflow, wandb) == ([], [])
    assert list(run.iterdir()) == []
