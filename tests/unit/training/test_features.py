"""``train.cache_features``: frozen networks run once for each image, and nothing else about a training changes."""

from __future__ import annotations

import json
import stat
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vesselbench.config import AugmentConfig, TrainConfig
from vesselbench.data.dataset import load_dataset
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.recipes import load_recipe
from vesselbench.training import features
from vesselbench.training.engine import Engine
from vesselbench.training.features import changing, is_whole, networks_digest, prepare_features

STILL = [f"train.augment.{key}=0" for key in AugmentConfig.model_fields if key != "crop"] + ["train.augment.crop=null"]
SMALL = ["data.options.images=12", "data.options.size=64", "train.batch_size=2", "train.steps=3", "train.zero_stage=0"]


def a_recipe(catalogue, *overrides, name="sa2va"):
    words = [*SMALL, *STILL, *(["model.freeze=official"] if name == "sa2va" else []), *overrides]
    return load_recipe(name, catalogue, (), words)[0]


@pytest.fixture(scope="module")
def small(catalogue):
    return load_dataset(a_recipe(catalogue).data, catalogue)


@pytest.fixture
def build(device, catalogue, small):
    """Builds the engine of a recipe; with `folder` it has features there, and says so."""
    built = []

    def make(folder=None, *overrides, name="sa2va"):
        kept = [] if folder is None else [f"train.cache_features={folder}"]
        recipe = a_recipe(catalogue, *kept, *overrides, name=name)
        engine = Engine.build(recipe, small.task, catalogue, device)
        built.append(engine)
        return engine, prepare_features(engine, recipe, catalogue, small.of("train"))

    yield make
    for engine in built:
        engine.close()


def losses_of(engine, small):
    return [engine.train_step(batches) for _, batches in engine.train_batches(small.of("train"))]


def test_losses_are_the_same_to_the_last_digit(build, small, tmp_path):
    plain, kept = build(None, "train.batch_size=1")[0], build(tmp_path / "f", "train.batch_size=1")[0]
    first, second = losses_of(plain, small), losses_of(kept, small)
    assert len(first) == 3
    assert first == second


def test_a_training_with_kept_features_predicts_what_one_without_them_predicts(build, small, tmp_path):
    words = ("train.batch_size=1", "train.steps=12", "train.lr=1e-2")
    plain, kept = build(None, *words)[0], build(tmp_path / "f", *words)[0]
    examples = [load_example(sample) for sample in small.of("test")]
    start = plain.predict(examples)
    for engine in (plain, kept):
        assert len(losses_of(engine, small)) == 12
    moved = 0.0
    for before, first, second in zip(start, plain.predict(examples), kept.predict(examples), strict=True):
        assert np.abs(first.probability - second.probability).max() < 1e-5
        moved = max(moved, float(np.abs(first.probability - before.probability).max()))
    assert moved > 0.1, "the training changed what is predicted"


def test_images_seen_together_round_otherwise_than_one_at_a_time(build, small, tmp_path):
    plain, kept = build()[0], build(tmp_path / "f")[0]
    for first, second in zip(losses_of(plain, small), losses_of(kept, small), strict=True):
        assert {name: float(value) for name, value in first.items()} == pytest.approx(
            {name: float(value) for name, value in second.items()}, rel=1e-5
        )


def test_the_frozen_networks_do_not_run_in_training_and_images_are_looked_at_once(build, small, tmp_path):
    images = len({sample.image for sample in small.of("train")})
    _, said = build(tmp_path / "f")
    assert f"{images} training images" in said[0]
    assert f"{images} computed now" in said[0]
    engine, said = build(tmp_path / "f")
    assert "0 computed now" in said[0]
    ran = []
    for network in engine.module.feature_networks():
        network.register_forward_hook(lambda *_: ran.append(1))
    losses_of(engine, small)
    assert ran == []


def test_entries_are_their_owners_alone_and_a_damaged_one_is_computed_anew(build, tmp_path):
    build(tmp_path / "f")
    entries = sorted((tmp_path / "f").rglob("*.safetensors"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in entries} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in entries} == {0o700}
    sound = entries[0].read_bytes()
    for damaged in (sound[:-100], sound[:-1] + bytes([sound[-1] ^ 1])):
        entries[0].write_bytes(damaged)
        assert not is_whole(entries[0])
        assert "1 computed now" in build(tmp_path / "f")[1][0]
        assert entries[0].read_bytes() == sound
    assert not list((tmp_path / "f").rglob("*.tmp"))


def test_other_weights_other_arithmetic_and_other_preprocessing_have_entries_of_their_own(build, tmp_path):
    count = int(build(tmp_path / "f")[1][0].split("computed")[0].split()[-1].strip("("))
    for change in ("train.seed=7", "train.precision=autocast", "model.resize=squash"):
        said = build(tmp_path / "f", change)[1][0]
        assert f"{0 if change == 'model.resize=squash' else count} computed now" in said, "a square image is not padded"


def test_one_changed_weight_changes_the_digest(build):
    module = build()[0].module
    before = networks_digest(module)
    parameter = max(module.feature_networks()[0].parameters(), key=torch.Tensor.numel)
    with torch.no_grad():
        parameter.view(-1)[:2] = parameter.view(-1)[:2].flip(0)  # the same numbers in another order
    assert networks_digest(module) != before


def test_an_image_that_changes_from_epoch_to_epoch_is_refused_with_the_keys(build, tmp_path):
    with pytest.raises(UserError, match=r"by train\.augment\.flip, train\.augment\.contrast") as caught:
        build(tmp_path, "train.augment.flip=true", "train.augment.contrast=0.2")
    assert "false or 0" in caught.value.hint
    assert changing(AugmentConfig(crop=64))[0] == "train.augment.crop"


@pytest.mark.parametrize(("name", "change"), [("unet", "configure=[]"), ("sa2va", "model.freeze=none")])
def test_a_model_without_frozen_networks_is_refused(build, tmp_path, name, change):
    with pytest.raises(UserError, match="no frozen networks"):
        build(tmp_path, change, name=name)


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_written(build, tmp_path, monkeypatch):
    monkeypatch.setattr(features.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(UserError, match=r"GB are free"):
        build(tmp_path / "f")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_folder_that_cannot_be_written_is_refused(build, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        build(tmp_path / "file" / "f")


def test_features_removed_under_a_training_end_it_in_words(build, small, tmp_path):
    engine, _ = build(tmp_path / "f")
    for path in (tmp_path / "f").rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        losses_of(engine, small)


def test_the_setting_takes_true_or_a_path():
    assert TrainConfig.model_validate({"cache_features": True}).cache_features is True
    found = TrainConfig.model_validate(json.loads('{"cache_features": "/somewhere"}')).cache_features
    assert str(found) == "/somewhere"
