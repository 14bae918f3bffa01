from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.evaluation.predict import find_device, load_predictor, to_predictions
from vesselbench.model import build_model, save_trained
from vesselbench.recipes import dump_recipe, validate_recipe
from vesselbench.rundir import RunDir, file_sha256, write_text
from vesselbench.types import Batch, Task

TASK = Task(("vessel",), 3)


class DotModel(torch.nn.Module):
    """One 1 x 1 convolution; dropout shows whether it was put into evaluation mode."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), torch.nn.Dropout(0.5))

    def loss(self, batch):
        return {"loss": self.net(batch.inputs["image"]).mean()}

    def predict(self, batch):
        logits = self.net(batch.inputs["image"])
        return [logits[i, 0, :height, :width].sigmoid() for i, (height, width) in enumerate(batch.sizes)]


class DotPlugin:
    name = "dot"

    class Config(BaseModel):
        pass

    def build(self, _config, _task):
        return DotModel()

    def collator(self, _config, _task):
        return collate


def collate(examples):
    height, width = (max(example.size[axis] for example in examples) for axis in (0, 1))
    image = torch.zeros(len(examples), 3, height, width)
    for i, example in enumerate(examples):
        image[i, :, : example.size[0], : example.size[1]] = torch.from_numpy(example.image / 255).permute(2, 0, 1)
    return {"image": image}


class NoFiles:
    name = "none"

    def read(self, _root, _options):
        return iter(())


@pytest.fixture
def with_dot(catalogue):
    catalogue.models.add("test", DotPlugin())
    catalogue.datasets.add("test", NoFiles())
    return catalogue


def recipe_of(catalogue, precision="fp32") -> Recipe:
    values = {"name": "dot", "model": {"name": "dot"}, "data": {"format": "none"}, "train": {"precision": precision}}
    return validate_recipe(values, catalogue)


def trained_run(folder: Path, recipe: Recipe, catalogue) -> tuple[RunDir, torch.nn.Module]:
    run = RunDir.new(folder, "dot")
    module = build_model(recipe, TASK, catalogue)
    with torch.no_grad():
        module.net[0].weight.copy_(torch.tensor([2.0, -1.0, 3.0]).reshape(1, 3, 1, 1))
    save_trained(module, run.checkpoints / "7" / "weights.safetensors")
    write_text(run.config, dump_recipe(recipe))
    run.update(status="finished", best_step=7, last_step=7, task={"targets": ["vessel"], "channels": 3})
    return run, module


def coloured(example_of, size, name):
    example = example_of(None, size=size, name=name)
    example.image[:] = np.random.default_rng(len(name)).integers(0, 255, example.image.shape)
    return example


def test_a_loaded_predictor_gives_what_the_trained_module_gives(tmp_path, with_dot, example_of):
    run, module = trained_run(tmp_path, recipe_of(with_dot), with_dot)
    examples = [coloured(example_of, (5, 9), "a"), coloured(example_of, (7, 4), "bb")]
    predictions = load_predictor(run, with_dot)(examples)
    module.eval()
    for example, prediction in zip(examples, predictions, strict=True):
        image = torch.from_numpy(example.image / 255).permute(2, 0, 1)[None].float()
        expected = torch.sigmoid(module.net(image))[0, 0].detach().numpy()
        assert prediction.id == example.sample.id
        assert prediction.probability.dtype == np.float32
        np.testing.assert_allclose(prediction.probability, expected, rtol=0, atol=1e-6)


def test_a_predictor_knows_its_device_and_the_hash_of_its_weights(tmp_path, with_dot):
    run, _ = trained_run(tmp_path, recipe_of(with_dot), with_dot)
    predictor = load_predictor(run, with_dot, "cpu")
    assert predictor.device == torch.device("cpu")
    assert predictor.weights_sha256 == file_sha256(run.weights())


def test_a_run_trained_in_bf16_is_predicted_in_bf16_and_returns_float32(tmp_path, with_dot, example_of):
    run, _ = trained_run(tmp_path, recipe_of(with_dot, "bf16"), with_dot)
    predictor = load_predictor(run, with_dot, "cpu")
    assert {parameter.dtype for parameter in predictor.module.parameters()} == {torch.bfloat16}
    assert predictor([coloured(example_of, (5, 9), "a")])[0].probability.dtype == np.float32


@pytest.mark.parametrize("lost", ["config.yaml", "task", "weights"])
def test_a_run_without_recipe_task_or_weights_is_the_users_error(tmp_path, with_dot, lost):
    run, _ = trained_run(tmp_path, recipe_of(with_dot), with_dot)
    if lost == "config.yaml":
        run.config.unlink()
    elif lost == "weights":
        run.weights().unlink()
    else:
        run.update(task=None)
    with pytest.raises(UserError, match=lost) as caught:
        load_predictor(run, with_dot)
    assert caught.value.hint


def test_an_unknown_or_absent_device_is_the_users_error():
    with pytest.raises(UserError, match="no device named 'gpu0'"):
        find_device("gpu0")
    with pytest.raises(UserError, match="'cuda:99' is not there"):
        find_device("cuda:99")


def test_too_few_too_many_or_wrongly_sized_predictions_name_the_samples():
    batch = Batch(["a", "b"], [(2, 3), (4, 5)], {})
    with pytest.raises(ValueError, match=r"1 predictions for 2 samples \['a', 'b'\]"):
        to_predictions(batch, [torch.zeros(2, 3)])
    with pytest.raises(ValueError, match="3 predictions for 2 samples"):
        to_predictions(batch, [torch.zeros(2, 3)] * 3)
    with pytest.raises(ValueError, match=r"'b' is of size \(2, 3\), the image of \(4, 5\)"):
        to_predictions(batch, [torch.zeros(2, 3), torch.zeros(2, 3)])


def test_predictions_are_float32_whatever_the_model_computes_in():
    batch = Batch(["a"], [(2, 3)], {})
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        output = torch.full((2, 3), 0.25, dtype=dtype, requires_grad=True)
        prediction = to_predictions(batch, [output])[0]
        assert prediction.probability.dtype == np.float32
        assert (prediction.probability == 0.25).all()
