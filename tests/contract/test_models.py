"""Every registered model, held to the same rules and trained by the same engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from tests.distributed import matrix_worker
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.evaluation.predict import Predictor, load_predictor
from vesselbench.model import build_model, count_parts, load_trained, save_trained
from vesselbench.planner import make_plan
from vesselbench.plugins import is_trained, load_catalogue
from vesselbench.recipes import dump_recipe, read_yaml, validate_recipe
from vesselbench.report.training.history import read_run
from vesselbench.resume import find_unfinished
from vesselbench.rundir import RunDir, file_sha256, write_text
from vesselbench.testing import check_model
from vesselbench.training.choosing import choices_of, stated
from vesselbench.training.engine import Engine
from vesselbench.training.loop import train
from vesselbench.watch import Silent

CATALOGUE = load_catalogue()
MODELS = sorted(CATALOGUE.models)
TRAINED = [model for model in MODELS if is_trained(CATALOGUE.models[model])]
UNTRAINED = [model for model in MODELS if model not in TRAINED]
"""Models with nothing to train: what is asked of them stands at the end."""


def a_recipe(model: str, catalogue, **train):
    settings = {"steps": 3, "batch_size": 2, "lr": 1e-3, "warmup": 0.0, "device": "cpu", **train}
    return validate_recipe({"name": model, "model": {"name": model}, "train": settings}, catalogue)


def losses(recipe, dataset, catalogue, device) -> tuple[list[float], Engine]:
    engine = Engine.build(recipe, dataset.task, catalogue, device)
    batches = engine.train_batches(dataset.of("train"))
    return [float(engine.train_step(micro_batches)["loss"]) for _, micro_batches in batches], engine


@pytest.fixture(scope="module")
def exact(catalogue, dataset, device) -> Callable[[str, int], list[float]]:
    """The losses of a model at a ZeRO stage in fp32, trained once for all tests that ask."""

    @cache
    def trained(model: str, stage: int) -> list[float]:
        values, engine = losses(a_recipe(model, catalogue, zero_stage=stage), dataset, catalogue, device)
        engine.close()
        return values

    return trained


@pytest.mark.parametrize("model", MODELS)
def test_it_keeps_the_rules_for_authors(model, catalogue):
    check_model(catalogue.models[model])


@pytest.mark.parametrize("model", TRAINED)
def test_it_is_built_with_the_same_weights_every_time(model, catalogue, dataset):
    first, second = (build_model(a_recipe(model, catalogue), dataset.task, catalogue) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("model", TRAINED)
def test_every_stage_trains_it_as_stage_0_does(model, stage, exact):
    plain, sharded = exact(model, 0), exact(model, stage)
    assert sharded == pytest.approx(plain, rel=1e-5)
    assert plain[0] != plain[-1], "nothing moved"


@pytest.mark.parametrize("model", TRAINED)
def test_four_micro_batches_of_one_are_one_of_four(model, catalogue, dataset, device):
    """Dropout is off: it draws for each micro-batch anew."""
    recipes = [matrix_worker.recipe(model, catalogue, zero_stage=0, micro_batch=size) for size in (1, 4)]
    ones, four = (matrix_worker.train({"recipe": one}, dataset, catalogue)["losses"] for one in recipes)
    assert [step["loss"] for step in ones] == pytest.approx([step["loss"] for step in four], rel=1e-6)


@pytest.mark.parametrize("model", TRAINED)
def test_it_trains_in_bf16(model, catalogue, dataset, device, exact):
    values, engine = losses(a_recipe(model, catalogue, precision="bf16", zero_stage=3), dataset, catalogue, device)
    assert {parameter.dtype for parameter in engine.module.parameters()} == {torch.bfloat16}
    engine.close()
    assert values == pytest.approx(exact(model, 3), rel=0.1)


@pytest.mark.parametrize("model", TRAINED)
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


@pytest.mark.parametrize("model", TRAINED)
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


def test_every_model_is_of_one_kind_and_both_are_tested():
    assert "frangi" in UNTRAINED
    assert {"unet", "sa2va"} <= set(TRAINED)
    assert {*TRAINED, *UNTRAINED} == set(MODELS)


def first_choice(model: str, catalogue):
    return stated(a_recipe(model, catalogue), choices_of(catalogue.models[model], catalogue.models[model].Config())[0])


@pytest.mark.parametrize("model", UNTRAINED)
def test_without_training_its_settings_come_back_exactly(model, catalogue, dataset, tmp_path):
    """Into the module of other settings: what it draws by is in the file."""
    plugin = catalogue.models[model]
    examples = [load_example(sample) for sample in dataset.of("test")[:1]]
    drawn, files = [], []
    for choice in choices_of(plugin, plugin.Config())[:2]:
        recipe = stated(a_recipe(model, catalogue), choice)
        module, collate = build_model(recipe, dataset.task, catalogue), plugin.collator(choice, dataset.task)
        drawn.append(Predictor.of(module, collate, torch.device("cpu"), recipe)(examples)[0].probability)
        files.append(tmp_path / f"{len(files)}.safetensors")
        save_trained(module, files[-1])
    assert abs(drawn[0] - drawn[1]).max() > 0.01, "two choices draw the same"
    module = build_model(first_choice(model, catalogue), dataset.task, catalogue)
    load_trained(module, files[0])
    again = Predictor.of(module, collate, torch.device("cpu"), first_choice(model, catalogue))(examples)
    assert (again[0].probability == drawn[0]).all()


@pytest.mark.parametrize("stage", [0, 3])
@pytest.mark.parametrize("model", UNTRAINED)
def test_the_engine_refuses_to_train_it(model, stage, catalogue, dataset, device):
    with pytest.raises(UserError, match="nothing to train"):
        Engine.build(
            a_recipe(model, catalogue, zero_stage=stage),
            dataset.task,
            catalogue,
            device,
        )


@pytest.mark.parametrize("model", UNTRAINED)
def test_training_it_makes_a_finished_run_of_the_best_choice(model, catalogue, tmp_path):
    recipe = a_recipe(model, catalogue)
    recipe = recipe.model_copy(update={"data": matrix_worker.PHANTOM})
    run = train(recipe, catalogue, tmp_path, Silent())
    record = run.record()
    assert (record["status"], record["steps"], record["parameters"]["trainable"]) == ("finished", 0, 0)
    assert len(record["tried"]) == len(choices_of(catalogue.models[model], catalogue.models[model].Config())) > 1
    best = max(one["means"]["dice"] for one in record["tried"])
    assert record["best_score"] == best == run.scores("val").mean("dice")
    chosen = read_yaml(run.config)["model"]
    assert next(one["model"] for one in record["tried"] if one["means"]["dice"] == best).items() <= chosen.items()
    assert record["weights_sha256"] == file_sha256(run.weights())
    assert not run.train_log.exists()
    with pytest.raises(UserError, match="had nothing to train"):
        read_run(run)
    with pytest.raises(UserError, match="finished"):
        find_unfinished(str(run.path), [], [], tmp_path, catalogue, Silent())


@pytest.mark.parametrize("model", UNTRAINED)
def test_lower_precision_and_a_plan_of_its_training_are_refused(model, catalogue, tmp_path):
    recipe = a_recipe(model, catalogue, precision="bf16")
    recipe = recipe.model_copy(update={"data": matrix_worker.PHANTOM})
    with pytest.raises(UserError, match=r"train\.precision"):
        train(recipe, catalogue, tmp_path, Silent())
    with pytest.raises(UserError, match="nothing to plan"):
        make_plan(recipe, catalogue, 1)
