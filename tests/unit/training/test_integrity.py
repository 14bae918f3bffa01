"""What stops a training that would train nothing, at every ZeRO stage."""

from __future__ import annotations

import json

import pytest
import torch

from vesselbench import UserError
from vesselbench.data.loader import train_batches
from vesselbench.recipes import validate_recipe
from vesselbench.rundir import RunDir
from vesselbench.training.engine import Engine
from vesselbench.training.integrity import Integrity, NonFiniteError, child_of
from vesselbench.training.loop import train
from vesselbench.training.record import failures_recorded
from vesselbench.watch import Silent


def built(stage: int, catalogue, dataset, device, precision: str = "fp32", spoil=None, lr: float = 1e-3):
    """An engine with a tiny UNet, and its three steps; `spoil` changes the module's loss before DeepSpeed sees it."""
    settings = {"steps": 3, "batch_size": 2, "micro_batch": 1, "zero_stage": stage, "precision": precision, "lr": lr}
    values = {"name": "x", "model": {"name": "unet", "channels": [4, 8]}, "train": {**settings, "device": "cpu"}}
    recipe = validate_recipe(values, catalogue)
    engine = Engine.build(recipe, dataset.task, catalogue, device)
    if spoil is not None:
        spoil(engine.module)
    return engine, list(train_batches(dataset.of("train"), engine.collate, recipe.train, 0, 1))


def without(name: str):
    """Makes one parameter count for nothing in the loss: it still gets a gradient, of zeros."""

    def spoil(module) -> None:
        parameter = dict(module.named_parameters())[name]
        parameter.register_hook(torch.zeros_like)

    return spoil


NAME = "net.features.model.0.conv.unit0.conv.weight"


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_parameter_without_a_gradient_is_named_after_some_steps(stage, catalogue, dataset, device):
    engine, steps = built(stage, catalogue, dataset, device, spoil=without(NAME))
    watching = Integrity(engine.engine, engine.module, child_of, after=2)
    engine.train_step(steps[0][1])
    watching.after_step(last=False, speed=1e-6)
    engine.train_step(steps[1][1])
    with pytest.raises(UserError, match=f"after 2 steps, 1 had no gradient: {NAME}"):
        watching.after_step(last=False, speed=1e-6)
    engine.close()


NORM = "net.features.model.0.conv.unit0.adn.N.weight"


def faint(*names: str):
    """Of the gradients of some parameters, or of all, no more is left than rounding might give."""

    def spoil(module) -> None:
        for name, parameter in module.named_parameters():
            if name in names or not names:
                parameter.register_hook(lambda gradient: gradient * 1e-18)

    return spoil


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_parameter_that_only_rounding_reaches_is_told_and_stops_nothing(stage, catalogue, dataset, device):
    engine, steps = built(stage, catalogue, dataset, device, spoil=faint(NORM))
    watching = Integrity(engine.engine, engine.module, child_of, after=3)
    told = []
    for number, batches in steps:
        engine.train_step(batches)
        told += watching.after_step(last=number == 3, speed=1.0)
    assert told == [f"1 parameters have not moved, for their gradients are rounding: {NORM}"]
    engine.close()


def test_where_nothing_moves_faint_gradients_are_no_excuse(catalogue, dataset, device):
    engine, steps = built(0, catalogue, dataset, device, spoil=faint())
    for group in engine.optimizer.param_groups:
        group["weight_decay"] = 0.0
    for parameter in engine.module.parameters():
        parameter.data.fill_(1.0)  # of a weight of zero every step is a movement
    watching = Integrity(engine.engine, engine.module, child_of, after=3)
    for _, batches in steps:
        engine.train_step(batches)
    for _ in range(2):
        watching.after_step(last=False, speed=1.0)
    with pytest.raises(UserError, match="have not moved: net"):
        watching.after_step(last=True, speed=1.0)
    engine.close()


IDLE, USED = "net.features.model.0.", "net.features.model.2."
"""Beginning of the names of a UNet's first and last level."""


def idle_first_level(module) -> None:
    for name, parameter in module.named_parameters():
        if name.startswith(IDLE):
            parameter.register_hook(torch.zeros_like)


@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (2, "fp32"), (3, "fp32"), (0, "bf16")])
def test_of_declared_alternatives_one_may_be_idle_and_is_named(stage, precision, catalogue, dataset, device):
    engine, steps = built(stage, catalogue, dataset, device, precision, spoil=idle_first_level)
    watching = Integrity(engine.engine, engine.module, child_of, after=3, alternatives=[[IDLE, USED]])
    told = []
    for _, batches in steps:
        engine.train_step(batches)
        told += watching.after_step(last=False, speed=1.0)
    idle = [name for name, _ in engine.module.named_parameters() if name.startswith(IDLE)]
    assert told[0].startswith(f"{len(idle)} parameters had no gradient after 3 steps, as alternatives may: {IDLE}")
    engine.close()


@pytest.mark.parametrize("declared", [[[IDLE, f"{IDLE}conv."]], [[USED, "net.features.model.1."]]])
def test_alternatives_do_not_excuse_a_group_without_any_gradient_nor_other_parts(declared, catalogue, dataset, device):
    engine, steps = built(0, catalogue, dataset, device, spoil=idle_first_level)
    watching = Integrity(engine.engine, engine.module, child_of, after=2, alternatives=declared)
    engine.train_step(steps[0][1])
    watching.after_step(last=False, speed=1.0)
    engine.train_step(steps[1][1])
    with pytest.raises(UserError, match=f"had no gradient: {IDLE}"):
        watching.after_step(last=False, speed=1.0)
    engine.close()


def test_alternatives_that_name_no_trained_parameter_are_refused(catalogue, dataset, device):
    engine, _ = built(0, catalogue, dataset, device)
    with pytest.raises(UserError, match=r"alternatives without any trained parameter: nett\."):
        Integrity(engine.engine, engine.module, child_of, after=2, alternatives=[["net.", "nett."]])
    engine.close()


def test_a_training_whose_loss_chooses_one_candidate_mask_ends_and_names_the_idle_ones(catalogue, device, tmp_path):
    """The official loss: one of three candidates learns, the head that chooses it does not."""

    lines, rows = [], {}

    class Said(Silent):
        def line(self, text):
            lines.append(text)

        def table(self, title, table):
            rows.update(table)

    values = {
        "name": "official",
        "model": {"name": "sa2va", "loss": {"points": 256, "candidates": "chosen", "iou": 0}},
        "data": {"options": {"images": 12, "size": 64, "per_group": 2}},
        "train": {"steps": 3, "batch_size": 1, "device": "cpu", "zero_stage": 0},
        "evaluation": {"metrics": ["dice"]},
    }
    run = train(validate_recipe(values, catalogue), catalogue, tmp_path, Said())
    assert run.record()["status"] == "finished"
    network = "sam.mask_decoder.output_hypernetworks_mlps."
    (line,) = [text for text in lines if "had no gradient" in text]
    assert f"as alternatives may: {network}" in line
    assert rows["parameters of sam iou head"].endswith("trainable 0")


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_parameters_that_do_not_move_are_named(stage, catalogue, dataset, device):
    engine, steps = built(stage, catalogue, dataset, device, lr=1e-30)
    watching = Integrity(engine.engine, engine.module, child_of, after=20)
    for number, (_, batches) in enumerate(steps, 1):
        engine.train_step(batches)
        if number < 3:
            watching.after_step(last=False, speed=1.0)
    with pytest.raises(UserError, match=r"after 3 steps at 10% of the peak rate or more, \d+ have not moved: net"):
        watching.after_step(last=True, speed=1.0)
    engine.close()


@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (3, "bf16")])
def test_a_long_warm_up_is_no_standstill(stage, precision, catalogue, dataset, device):
    """The first steps of 100,000 are smaller than the last digit of most weights; so are the last ones of a cosine."""
    engine, steps = built(stage, catalogue, dataset, device, precision, lr=1e-30)
    watching = Integrity(engine.engine, engine.module, child_of, after=2)
    for _, batches in steps:
        engine.train_step(batches)
        watching.after_step(last=False, speed=2e-4)
    watching.after_step(last=True, speed=2e-8)
    watching.after_step(last=False, speed=0.2)
    with pytest.raises(UserError, match="have not moved"):
        watching.after_step(last=False, speed=0.2)
    engine.close()


@pytest.mark.parametrize(
    ("stage", "precision"), [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (0, "bf16"), (3, "bf16")]
)
def test_norms_are_the_same_at_every_stage_and_agree_with_deepspeeds(stage, precision, catalogue, dataset, device):
    engine, steps = built(stage, catalogue, dataset, device, precision)
    watching = Integrity(engine.engine, engine.module, child_of, after=2)
    found = []
    for _, batches in steps:
        engine.train_step(batches, watching.before_step)
        watching.after_step(last=False, speed=1.0)
        found.append(watching.meters())
        assert found[-1]["grad_norm"] == pytest.approx(found[-1]["grad_norm/net"])
        theirs = engine.meters().get("grad_norm")
        if theirs is not None:
            assert found[-1]["grad_norm"] == pytest.approx(theirs, rel=1e-5)
        assert 0 < found[-1]["update_ratio/net"] < 0.1
    reference, steps = built(0, catalogue, dataset, device)
    watching = Integrity(reference.engine, reference.module, child_of, after=2)
    reference.train_step(steps[0][1], watching.before_step)
    near = 1e-5 if precision == "fp32" else 0.05
    assert found[0]["grad_norm"] == pytest.approx(watching.meters()["grad_norm"], rel=near)
    engine.close()
    reference.close()


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(catalogue, dataset, device):
    def spoil(module) -> None:
        dict(module.named_parameters())[NAME].register_hook(lambda gradient: gradient * torch.inf)

    engine, steps = built(2, catalogue, dataset, device, spoil=spoil)
    before = {name: value.clone() for name, value in engine.module.state_dict().items()}
    watching = Integrity(engine.engine, engine.module, child_of, after=2)
    with pytest.raises(NonFiniteError, match=f"gradient of 1 parameters is not finite: {NAME}"):
        engine.train_step(steps[0][1], watching.before_step)
    assert all(torch.equal(before[name], value) for name, value in engine.module.state_dict().items())
    engine.close()


def test_the_samples_of_a_loss_that_is_not_finite_are_written_into_the_run(catalogue, dataset, device, tmp_path):
    engine, steps = built(0, catalogue, dataset, device)
    batches = steps[0][1]
    batches[1].inputs["image"][:] = float("nan")
    run = RunDir(tmp_path)
    run.update(status="running")
    with pytest.raises(UserError, match="not finite"), failures_recorded(run):
        engine.train_step(batches)
    dumped = json.loads((tmp_path / "nonfinite.json").read_text())
    assert dumped == {"batches": [{"rank": 0, "samples": batches[1].ids, "loss": "nan"}]}
    assert run.record()["status"] == "failed"
    engine.close()
