"""What `vesselbench export` promises of every model: whole, checked, nothing overwritten, nobody named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vesselbench import Task, UserError
from vesselbench.cli import app
from vesselbench.data.masks import mask_sha256
from vesselbench.evaluation.predict import load_predictor
from vesselbench.export import build_trained, export, find_free
from vesselbench.model import build_model, load_weights, refuse_faulty, save_trained, write_safetensors
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.reopen import open_recipe
from vesselbench.reproduction import find_evidence
from vesselbench.rundir import RunDir, file_sha256, write_json, write_jsonl
from vesselbench.runs import score_run
from vesselbench.training.loop import train
from vesselbench.watch import Silent

TASK = Task(("vessel",))


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def trained(catalogue, device, tmp_path_factory) -> RunDir:
    """A UNet after a few steps; its validation masks are neither empty nor full."""
    values = {
        "name": "net",
        "model": {"name": "unet", "channels": [4, 8]},
        "data": {"options": {"images": 12, "size": 64, "per_group": 2}},
        "train": {"steps": 8, "batch_size": 2, "lr": 1e-2, "device": "cpu", "zero_stage": 0},
    }
    run = train(validate_recipe(values, catalogue), catalogue, tmp_path_factory.mktemp("work") / "runs", Silent())
    assert run is not None
    return run


@pytest.fixture
def run(trained, tmp_path) -> RunDir:
    """A copy that a test may damage."""
    return RunDir(Path(shutil.copytree(trained.path, tmp_path / "run")))


def test_a_model_without_a_form_of_its_own_is_written_whole_and_comes_back(trained, catalogue, tmp_path):
    watch = Lines()
    to = export(trained, tmp_path / "new" / "out", catalogue, watch)
    files = {path.name for path in to.iterdir()}
    assert files == {"README.md", "config.yaml", "export.json", "weights.safetensors"}
    assert [path.name for path in to.parent.iterdir()] == ["out"]
    assert "0 of 4096 pixels differ" in watch.lines[-1]
    assert "weak" not in watch.lines[-1]
    module = build_model(open_recipe(trained, catalogue), TASK, catalogue)
    load_weights(module, [to / "weights.safetensors"])
    expected = load_predictor(trained, catalogue, "cpu").module.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in module.state_dict().items())
    assert load_file(to / "weights.safetensors").keys() == expected.keys()


def test_the_manifest_names_every_file_with_its_hash_and_the_check(trained, catalogue, tmp_path):
    to = export(trained, tmp_path / "out", catalogue, Silent())
    held = json.loads((to / "export.json").read_text())
    assert held["files"] == {p.name: file_sha256(p) for p in to.iterdir() if p.name != "export.json"}
    assert held["trained_weights_sha256"] == trained.record()["weights_sha256"]
    assert [check["form"] for check in held["checks"]] == ["weights.safetensors"]
    assert held["recipe"] == "custom"


def test_the_card_has_scores_threshold_and_hashes_and_names_no_image_patient_or_folder(trained, catalogue, tmp_path):
    to = export(trained, tmp_path / "out", catalogue, Silent())
    card, recipe, record = (to / "README.md").read_text(), (to / "config.yaml").read_text(), trained.record()
    for heading in ("Contents", "How to load", "Training", "Scores", "Checks", "Limits", "Licence", "Recipe"):
        assert f"\n## {heading}\n" in card
    assert f"at threshold {record['threshold']}" in card
    assert record["weights_sha256"] in card
    assert record["split_fingerprint"] in card
    rows = trained.scores("val").rows
    names = {row.id for row in rows} | {row.group for row in rows} | {str(tmp_path), str(Path.home())}
    held = card + recipe + (to / "export.json").read_text()
    assert [name for name in names if name in held] == []
    assert "options: {}" in recipe
    assert card.startswith("# custom: unet for vessel segmentation")
    assert "name: custom" in recipe


def test_nothing_is_overwritten(trained, catalogue, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    assert find_free(taken) == taken
    (taken / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="exists and is not empty"):
        export(trained, taken, catalogue, Silent())
    with pytest.raises(UserError, match="exists and is not empty"):
        export(trained, taken / "mine.txt", catalogue, Silent())
    assert [path.read_text() for path in tmp_path.rglob("*.*")] == ["keep"]


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("keep")
    with pytest.raises(UserError, match=r"cannot make the folder .*: .*file is no folder"):
        find_free(tmp_path / "file" / "deep" / "out")
    assert find_free(tmp_path / "new" / "out") == tmp_path / "new" / "out"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_could_not_be_replaced_in_the_end_is_refused_at_once(trained, catalogue, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for to in (Path("."), tmp_path / "here", tmp_path / "link"):
        with pytest.raises(UserError, match="is the working directory") as caught:
            export(trained, to, catalogue, Silent())
        assert caught.value.hint == "name a folder that does not exist yet"
    with pytest.raises(UserError, match="is a mount point"):
        export(trained, Path("/"), catalogue, Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "link"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(there, trained, catalogue, tmp_path):
    target, link = tmp_path / "disk" / "target", tmp_path / "link"
    if there:
        target.mkdir(parents=True)
    link.symlink_to(target)
    assert export(trained, link, catalogue, Silent()) == target
    assert link.is_symlink()
    assert (link / "README.md").is_file()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


class Interrupted(Silent):
    """Calls `act` with the unfinished folder when the check has passed and nothing but card and rename is left."""

    def __init__(self, parent, act) -> None:
        self.parent, self.act = parent, act

    def line(self, text: str) -> None:
        if "read again" in text:
            (folder,) = self.parent.glob(".out.*.partial")
            self.act(folder)


def test_an_interruption_after_the_check_leaves_nothing_behind(trained, catalogue, tmp_path):
    def interrupt(folder):
        assert (folder / "weights.safetensors").is_file()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(trained, tmp_path / "out", catalogue, Interrupted(tmp_path, interrupt))
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_cannot_be_written_leaves_nothing_behind(trained, catalogue, tmp_path):
    def block(folder):
        (folder / "README.md" / "in-the-way").mkdir(parents=True)

    with pytest.raises(UserError, match=r"cannot write .*README\.md"):
        export(trained, tmp_path / "out", catalogue, Interrupted(tmp_path, block))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_filled_meanwhile_keeps_what_it_holds_and_nothing_lies_beside_it(
    trained, catalogue, tmp_path
):
    def fill(folder):
        (tmp_path / "out" / "theirs").mkdir(parents=True)

    with pytest.raises(UserError, match="cannot rename"):
        export(trained, tmp_path / "out", catalogue, Interrupted(tmp_path, fill))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/theirs"]


def test_the_command_fills_an_empty_folder_and_says_where_the_export_is(trained, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    app(["export", str(trained.path), "--to", str(tmp_path / "out")], standalone_mode=False)
    assert f"{tmp_path / 'out'}: read " in capsys.readouterr().out
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_stored_mask_that_the_weights_do_not_predict_stops_the_export_and_leaves_no_folder(run, catalogue, tmp_path):
    for row in run.scores("val").rows:
        path = run.prediction_file("val", row.id)
        mask = ~np.asarray(Image.open(path)).astype(bool)
        Image.fromarray(mask).save(path)
    with pytest.raises(UserError, match=r"is not the mask that was scored"):
        export(run, tmp_path / "out", catalogue, Silent())
    rows = []
    for row in run.scores("val").rows:
        mask = np.asarray(Image.open(run.prediction_file("val", row.id))).astype(bool)
        rows.append({**dataclasses.asdict(row), "mask_sha256": mask_sha256(mask)})
    write_jsonl(run.evaluation("val") / "scores.jsonl", rows)
    with pytest.raises(UserError, match=r"the run's own weights: .* differs from the stored mask .* at \d+ of 4096"):
        export(run, tmp_path / "out", catalogue, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_weights_that_no_stored_prediction_belongs_to_are_not_exported(run, catalogue, tmp_path):
    tensors = {name: tensor * 1.5 for name, tensor in load_file(run.weights()).items()}
    write_safetensors(run.weights(), tensors)
    with pytest.raises(UserError, match="stored no prediction of its best weights") as caught:
        export(run, tmp_path / "out", catalogue, Silent())
    assert caught.value.hint.startswith("vesselbench evaluate")


def test_a_run_without_weights_is_refused(run, catalogue, tmp_path):
    run.weights().unlink()
    with pytest.raises(UserError, match="holds no weights"):
        export(run, tmp_path / "out", catalogue, Silent())


def test_a_training_that_moved_nothing_is_not_exported(run, catalogue):
    recipe = open_recipe(run, catalogue)
    save_trained(build_model(recipe, TASK, catalogue), run.weights())
    with pytest.raises(UserError, match=r"all \d+ tensors equal those that the training started from"):
        build_trained(recipe, TASK, catalogue, run.weights())


class Forgetful:
    """The UNet, exported by somebody who changes the last layer's bias by `off`."""

    def __init__(self, inner, off=3.0) -> None:
        self.inner, self.name, self.Config, self.off = inner, inner.name, inner.Config, off
        self.build, self.collator = inner.build, inner.collator

    def export(self, module, config, folder):
        tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        last = list(tensors)[-1]
        write_safetensors(folder / "w.safetensors", {**tensors, last: tensors[last] + self.off})
        return {"Contents": ["- `w.safetensors`"]}

    def reopen(self, config, task, folder):
        def again():
            module = self.build(config, task)
            load_weights(module, [folder / "w.safetensors"])
            return module, self.collator(config, task)

        return {"w.safetensors": again}


def test_a_form_that_predicts_something_else_is_kept_under_another_name_and_named(trained, tmp_path):
    catalogue = load_catalogue()
    inner = catalogue.models["unet"]
    catalogue.models.drop(catalogue.models.owners["unet"])
    catalogue.models.add("test", Forgetful(inner))
    with pytest.raises(UserError, match=r"the export failed its check: w\.safetensors: .* pixels") as caught:
        export(trained, tmp_path / "out", catalogue, Silent())
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith(".out.")
    assert str(kept) in caught.value.hint


@pytest.mark.parametrize(("off", "refused"), [(2e-3, True), (1e-5, False)])
def test_a_form_that_is_a_little_off_is_seen_by_its_probabilities_when_the_stored_mask_is_full(
    off, refused, run, tmp_path
):
    catalogue = load_catalogue()
    inner = catalogue.models["unet"]
    recipe = open_recipe(run, catalogue)
    run.update(threshold=1e-9)
    for name in ("val", "test"):
        score_run(run, name, catalogue, Silent(), again=True)
    assert find_evidence(run, recipe, catalogue, file_sha256(run.weights())).mask.all()
    catalogue.models.drop(catalogue.models.owners["unet"])
    catalogue.models.add("test", Forgetful(inner, off))
    if refused:
        with pytest.raises(UserError, match=r"a probability of image 1 of the test set differs by .*2\.5e-04"):
            export(run, tmp_path / "out", catalogue, Silent())
    else:
        export(run, tmp_path / "out", catalogue, Silent())
    assert (tmp_path / "out").exists() != refused


def test_a_base_that_was_changed_since_the_training_stops_the_export(run, catalogue, tmp_path):
    run.update(base_weights={"base/w.safetensors": "0" * 64})
    with pytest.raises(UserError, match=r"not those that the run was trained on: base/w\.safetensors"):
        export(run, tmp_path / "out", catalogue, Silent())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("a.lora_B.default.weight", torch.zeros(2, 3), r"1 adapter tensors are all zero.*a\.lora_B"),
        ("a.lora_A.default.weight", torch.zeros(2, 3), "lora_A"),
        ("a.weight", torch.zeros(0), r"empty tensors a\.weight"),
        ("a.weight", torch.tensor([1.0, float("inf")]), r"not finite a\.weight"),
    ],
)
def test_faulty_tensors_stop_the_save_with_their_names(name, tensor, message, tmp_path):
    with pytest.raises(UserError, match=message):
        refuse_faulty({"fine": torch.ones(1), name: tensor}, "refused")


def test_a_tensor_that_was_left_partitioned_stops_the_save():
    parameter = torch.nn.Parameter(torch.zeros(0))
    parameter.ds_tensor = torch.ones(4)
    with pytest.raises(UserError, match=r"empty tensors a\.weight") as caught:
        refuse_faulty({"a.weight": parameter}, "refused")
    assert "partitioned" in caught.value.hint


def test_zeros_elsewhere_are_no_fault():
    refuse_faulty({"norm.bias": torch.zeros(3), "lora.head.weight": torch.zeros(2)}, "refused")


def test_an_adapter_that_never_moved_is_not_saved(tmp_path):
    net = torch.nn.Module()
    net.lora_A, net.lora_B = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(2, 3, bias=False)
    torch.nn.init.zeros_(net.lora_B.weight)
    with pytest.raises(UserError, match=r"refused to save .*lora_B\.weight"):
        save_trained(net, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
    torch.nn.init.ones_(net.lora_B.weight)
    save_trained(net, tmp_path / "w.safetensors")


def test_an_unfinished_record_is_refused_before_anything_is_written(run, catalogue, tmp_path):
    write_json(run.evaluation("val") / "summary.json", {})
    with pytest.raises(UserError, match="was damaged"):
        export(run, tmp_path / "out", catalogue, Silent())
    assert not (tmp_path / "out").exists()
