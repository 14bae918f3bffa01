"""A run and its export predict the same, and neither predicts from files that are not its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vesselbench import UserError
from vesselbench.data.read import load_example
from vesselbench.export import MANIFEST, WEIGHTS, _manifest, build_model, load_trained, write_safetensors
from vesselbench.modelcard import PUBLIC_RECIPE, public_recipe
from vesselbench.predicting.sources import open_source
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, read_json, write_json, write_text
from vesselbench.runs import open_recipe
from vesselbench.types import Sample, Task


@pytest.fixture
def exported(unet, catalogue, tmp_path) -> Path:
    """The run's weights as `vesselbench export` writes them; its check needs a data set, which this run has not."""
    folder, recipe = tmp_path / "out", open_recipe(unet, catalogue)
    module = build_model(recipe, Task(("vessel",)), catalogue)
    load_trained(module, unet.weights())
    write_safetensors(folder / WEIGHTS, dict(module.state_dict()))
    write_text(folder / PUBLIC_RECIPE, dump_recipe(public_recipe(recipe)))
    write_json(folder / MANIFEST, _manifest(unet.record(), "net", folder, unet.weights(), []))
    return folder


def test_an_export_predicts_what_its_run_predicts(unet, exported, write, catalogue):
    example = load_example(Sample("x", write("x.png"), None))
    maps = []
    for path in (unet.path, exported):
        source = open_source(path, catalogue)
        assert (source.threshold, source.task, source.reads_prompt) == (0.5, Task(("vessel",)), False)
        (prediction,) = source.load("cpu")([example])
        maps.append(prediction.probability)
    assert np.array_equal(*maps)


def test_a_changed_a_missing_and_a_foreign_file_of_an_export_are_refused(exported, catalogue):
    manifest = read_json(exported / MANIFEST)
    source = open_source(exported, catalogue)
    weights = exported / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match="not the file that was exported"):
        source.load("cpu")
    weights.unlink()
    with pytest.raises(UserError, match="is gone"):
        source.load("cpu")
    for files, message in (({"../x": "0"}, "outside of the export"), ({}, "names no files")):
        write_json(exported / MANIFEST, {**manifest, "files": files})
        with pytest.raises(UserError, match=message):
            open_source(exported, catalogue).load("cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"status": "running"}, "not finished"), ({"task": None}, "no task"), ({"threshold": None}, "threshold is None")],
)
def test_a_run_that_is_not_complete_is_refused_before_its_weights_are_read(unet, catalogue, tmp_path, change, message):
    run = RunDir(Path(shutil.copytree(unet.path, tmp_path / "run")))
    run.update(**change)
    with pytest.raises(UserError, match=message):
        open_source(run.path, catalogue)


def test_a_folder_that_is_neither_is_refused(tmp_path, catalogue):
    with pytest.raises(UserError, match="neither a run nor an export"):
        open_source(tmp_path, catalogue)
