"""Files of torch.save: tensors are read, nothing else is loaded, and the cause of a refusal is the right one."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from vesselbench import UserError
from vesselbench_sa2va.torchfiles import read_tensors

MMENGINE = ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer")
TENSOR = {"mllm.model.mlp1.0.weight": torch.arange(3.0)}


class HistoryBuffer:
    """As mmengine's: its state holds arrays, and the class's own functions by name."""

    def __init__(self) -> None:
        self.max_length = 1000000
        self._log_history = np.array([1.0, 0.5])
        self._count_history = np.array([1, 1])

    def mean(self) -> float:
        return float(self._log_history.mean())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "statistics_methods": {"mean": HistoryBuffer.mean}}


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> type[HistoryBuffer]:
    """The class, importable under mmengine's name until the fixture's test forgets it."""
    for name in MMENGINE:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(HistoryBuffer, "__module__", MMENGINE[-1])
    monkeypatch.setattr(HistoryBuffer.mean, "__module__", MMENGINE[-1])
    monkeypatch.setattr(sys.modules[MMENGINE[-1]], "HistoryBuffer", HistoryBuffer, raising=False)
    return HistoryBuffer


def training_file(path: Path, history: type[HistoryBuffer], **more: Any) -> Path:
    scalars = OrderedDict({"train/loss": history(), "train/lr": history()})
    hub = {"log_scalars": scalars, "runtime_info": OrderedDict(iter=np.int64(3), best=np.float64(0.5))}
    meta = {"cfg": "x = 1", "seed": 0, "epoch": 1, "dataset_meta": {}}
    torch.save({"state_dict": OrderedDict(TENSOR), "meta": meta, "message_hub": hub, **more}, path)
    return path


def test_a_file_of_the_official_trainer_is_read_without_its_classes(tmp_path, history, monkeypatch):
    path = training_file(tmp_path / "iter_3672.pth", history)
    for name in MMENGINE:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Exception, match="HistoryBuffer was not an allowed global"):
        torch.load(path, weights_only=True)
    held = read_tensors(path)
    assert held.keys() == TENSOR.keys()
    assert torch.equal(held["mllm.model.mlp1.0.weight"], torch.arange(3.0))


def test_nothing_stays_allowed_after_a_file_was_read(tmp_path, history):
    before = set(torch.serialization.get_safe_globals())
    read_tensors(training_file(tmp_path / "iter_3672.pth", history))
    assert set(torch.serialization.get_safe_globals()) == before


class Calls:
    """Pickled as a call of `what`."""

    def __init__(self, what: Any, *values: Any) -> None:
        self.what, self.values = what, values

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.what, self.values


@pytest.mark.parametrize(
    ("what", "name"),
    [(os.mkdir, f"{os.name}.mkdir"), (print, "print"), (eval, "eval"), (np.frombuffer, "numpy.frombuffer")],
)
def test_another_name_in_a_file_is_refused_by_that_name_and_not_run(what, name, tmp_path, history):
    ran = tmp_path / "ran"
    path = training_file(tmp_path / "w.pth", history, hook=Calls(what, str(ran)))
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    assert caught.value.message.startswith(f"{path} cannot be read as plain tensors: it holds ")
    assert caught.value.message.endswith(name)
    assert "\x1b" not in caught.value.message
    assert caught.value.hint == "save its state_dict alone; objects and code in a file are never loaded"
    assert not ran.exists()


def test_getattr_in_a_file_gets_nothing(tmp_path, history):
    """The name is known because mmengine's files have it: it must not reach an attribute of anything real."""
    path = training_file(tmp_path / "w.pth", history, hook=Calls(getattr, torch.Size, "__mro__"))
    assert read_tensors(path).keys() == TENSOR.keys()
    torch.save({"state_dict": {"a": Calls(getattr, torch.zeros(2), "data")}}, path)
    with pytest.raises(UserError, match="holds no table of tensors"):
        read_tensors(path)


def test_a_file_of_the_old_format_is_named_as_such(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"model": TENSOR}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"old\.pt is of an old torch format") as caught:
        read_tensors(path)
    assert caught.value.hint == "save it again with torch.save, in the format it has by default"


@pytest.mark.parametrize(("content", "found"), [(b"", "is empty"), (b"<html>", "is no file of torch.save")])
def test_what_is_no_torch_file_is_named_as_such(content, found, tmp_path):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(UserError, match=found):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short_says_so_in_one_line(share, tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"model": {"a": torch.zeros(5000)}}, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="cannot be read as plain tensors") as caught:
        read_tensors(path)
    assert "cut short" in caught.value.hint
    assert "\n" not in caught.value.message
