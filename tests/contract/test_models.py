"""Every registered model, held to the same rules and trained by the same engine."""

from __future__ import annotations

import pytest
import torch

from tests.distributed import matrix_worker
from vesselbench.data.read import load_example
from vesselbench.evaluation.predict import load_predictor
from vesselbench.model import build_model, count_parts, load_trained, save_trained
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import dump_recipe, validate_recipe
from vesselbench.rundir import RunDir, write_text
from vesselbench.testing import check_model
from vesselbench.training.engine import Engine

MODELS = sorted(load_catalogue().models)


def a_recipe(model: str, catalogue, **train):
    settings = {"steps": 3, "batch_size": 2, "lr": 1e-3, "warmup": 0.0, "device": "cpu", **train}
    return validate_recipe({"name": model, "model": {"name": model}, "train": settings}, catalogue)


def losses(recipe, dataset, catalogue, device) -> tuple[list[float], Engine]:
    engine = Engine.build(recipe, dataset.task, catalogue, device)
    batches = engine.train_batches(dataset.of("train"))
    return [float(engine.train_step(micro_batches)["loss"]) for _, micro_batches in batches], engine


@pytest.mark.parametrize("model", MODELS)
def test_it_keeps_the_rules_for_authors(model, catalogue):
    check_model(catalogue.models[model])


@pytest.mark.parametrize("model", MODELS)
def test_it_is_built_with_the_same_weights_every_time(model, catalogue, dataset):
    first, second = (build_model(a_recipe(model, catalogue), dataset.task, catalogue) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_every_stage_trains_it_as_stage_0_does(model, stage, catalogue, dataset, device):
    plain, engine = losses(a_recipe(model, catalogue, zero_stage=0), dataset, catalogue, device)
    engine.close()
    sharded, engine = losses(a_recipe(model, catalogue, zero_stage=stage), dataset, catalogue, device)
    engine.close()
    assert sharded == pytest.approx(plain, rel=1e-5)
    assert plain[0] != plain[-1], "nothing moved"


@pytest.mark.parametrize("model", MODELS)
def test_four_micro_batches_of_one_are_one_of_four(model, catalogue, dataset, device):
    """Dropout is off: it draws for each micro-batch anew."""
    recipes = [matrix_worker.recipe(model, catalogue, zero_stage=0, micro_batch=size) for size in (1, 4)]
    ones, four = (matrix_worker.train({"recipe": one}, dataset, catalogue)["losses"] for one in recipes)
    assert [step["loss"] for step in ones] == pytest.approx([step["loss"] for step in four], rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_it_trains_in_bf16(model, catalogue, dataset, device):
    values, engine = losses(a_recipe(model, catalogue, precision="bf16", zero_stage=3), dataset, catalogue, device)
    assert {parameter.dtype for parameter in engine.module.parameters()} == {torch.bfloat16}
    engine.close()
    exact, engine = losses(a_recipe(model, catalogue, zero_stage=3), dataset, catalogue, device)
    engine.close()
    assert values == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("model", MODELS)
def test_what_stage_3_saved_predicts_in_plain_torch_what_the_engine_predicts(
    model, catalogue, dataset, device, tmp_path
):
    recipe = a_recipe(model, catalogue, zero_stage=3)
    run = RunDir(tmp_path)
    write_text(run.config, dump_recipe(recipe))
    task = {"targets": list(dataset.task.targets), "channels": dataset.task.channels}
    run.update(status="finished", best_step=3, task=task)
    _, engine = losses(recipe, dataset, catalogue, device)
    save_trained(engine.module, run.checkpoints / "3" / "weights.safetensors")
    whole = {name: total for name, (total, _) in count_parts(engine.module).items()}
    examples = [load_example(sample) for sample in dataset.of("test")[:2]]
    trained = engine.predict(examples)
    engine.close()

    plain = load_predictor(run, catalogue, "cpu")
    assert {name: total for name, (total, _) in count_parts(plain.module).items()} == whole
    for ours, theirs in zip(plain(examples), trained, strict=True):
        assert abs(ours.probability - theirs.probability).max() <= 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_its_checkpoint_comes_back_exactly(model, catalogue, dataset, tmp_path):
    recipe = a_recipe(model, catalogue)
    module = build_model(recipe, dataset.task, catalogue)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    save_trained(module, tmp_path / "w.safetensors")
    other = build_model(recipe, dataset.task, catalogue)
    load_trained(other, tmp_path / "w.safetensors")
    for (name, ours), theirs in zip(module.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
