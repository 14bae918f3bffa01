"""What a complete evaluation is still good for: all of it, its predictions, or nothing; and that the reason is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import EvalConfig
from vesselbench.errors import UserError
from vesselbench.evaluation.basis import PARTS, basis_of_run
from vesselbench.evaluation.evaluate import Evaluation, evaluate
from vesselbench.evaluation.probability import Auc
from vesselbench.evaluation.reuse import Reuse, Stored, look
from vesselbench.evaluation.score import metrics_of
from vesselbench.evaluation.topology import ClDice
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.rundir import RunDir, read_json, write_json
from vesselbench.types import Prediction, Sample

CONFIG = EvalConfig(threshold=0.4, metrics=["dice", "auc", "ece", "cldice", "recall_by_width"])
BASIS = dict.fromkeys(PARTS, "0" * 64)


class Grey:
    """A model that draws the grey value, and remembers what it was asked."""

    device = "cpu"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, examples):
        self.asked.extend(example.sample.id for example in examples)
        return [Prediction(e.sample.id, e.image[..., 0].astype(np.float32) / 255) for e in examples]


@dataclass
class Place:
    """A run with samples, and the two things that are done to it."""

    run: RunDir
    samples: list[Sample]
    catalogue: object

    def look(self, config=CONFIG, threshold=0.4, basis=BASIS) -> Reuse:
        return look(self.run, "val", basis, threshold, config, metrics_of(config, self.catalogue))

    def evaluate(self, model, config=CONFIG, found: Reuse | None = None) -> Evaluation:
        earlier = None if found is None else found.earlier
        return evaluate(
            model if earlier is None else Stored(self.run, "val", earlier, 0.4, lambda: model),
            self.samples,
            config,
            self.catalogue,
            set_name="val",
            fingerprint="f",
            threshold=0.4,
            weights_sha256="a" * 64,
            basis=BASIS,
            earlier=earlier,
            run=self.run,
        )


@pytest.fixture
def place(catalogue, write_samples, tmp_path) -> Place:
    return Place(RunDir.new(tmp_path, "grey"), write_samples(4, observers=True, fov=True), catalogue)


@pytest.fixture
def stored(place) -> Place:
    place.evaluate(Grey())
    return place


@pytest.fixture
def other_cldice(monkeypatch):
    """clDice of a later version, by another rule."""
    monkeypatch.setattr(ClDice, "version", ClDice.version + 1)
    monkeypatch.setattr(ClDice, "measure", lambda self, pair: pair.topology[0])


def test_where_nothing_is_stored_there_is_nothing_to_say(place):
    assert place.look() == Reuse("")


def test_the_same_evaluation_is_complete_and_that_is_said(stored):
    found = stored.look()
    assert found.complete
    assert found.said == (
        "reused: 4 predictions and scores of the val set (weights, data, settings and metrics are the same)"
    )


@pytest.mark.parametrize("part", PARTS)
def test_another_part_of_the_basis_is_named_with_both_hashes_and_nothing_is_reused(stored, part):
    found = stored.look(basis={**BASIS, part: "1" * 64})
    assert found == Reuse(f"predicting again: {PARTS[part]}: 111111111111 now, 000000000000 then")


def test_another_threshold_and_scores_of_an_earlier_version_are_not_reused(stored):
    assert stored.look(threshold=0.5) == Reuse("predicting again: the threshold differs: 0.5 now, 0.4 then")
    path = stored.run.evaluation("val") / "summary.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "predicted_from"})
    assert "do not say what they were predicted from" in stored.look().said
    path.write_text("{}")
    assert stored.look().said.startswith("predicting again: ")
    assert stored.look().earlier is None


def test_a_metric_of_a_new_version_alone_is_computed_again_and_from_the_stored_masks(stored, other_cldice):
    before = stored.run.scores("val")
    found, model = stored.look(), Grey()
    assert found.said == (
        "reused: 4 stored predictions, scored again: cldice is of version 3 now, 2 then; "
        "values of auc, ece are carried over (same version)"
    )
    again = stored.evaluate(model, found=found)
    assert model.asked == []
    anew = stored.evaluate(Grey())
    assert again.scores == anew.scores
    assert again.summary["observer2"] == anew.summary["observer2"]
    assert again.summary["reused"] == {"predictions": 4, "values": sorted(found.earlier.carried)}
    assert again.scores.rows[0].values["cldice"] != before.rows[0].values["cldice"]
    assert again.scores.rows[0].values["auc"] == before.rows[0].values["auc"]


def test_the_speed_of_a_reused_prediction_is_that_of_its_own_making(stored, other_cldice):
    then = read_json(stored.run.evaluation("val") / "summary.json")
    now = stored.evaluate(Grey(), found=stored.look()).summary
    assert now["seconds"] == pytest.approx(then["seconds"])
    assert now["device"] == then["device"] == "cpu"


def test_a_damaged_mask_is_named_and_that_image_alone_predicted_again(stored):
    before, name = stored.run.scores("val"), stored.samples[2].id
    path = stored.run.prediction_file("val", name)
    Image.fromarray(~np.asarray(Image.open(path))).save(path)
    found, model = stored.look(), Grey()
    assert found.said == (
        "reused: 3 stored predictions and their scores; "
        f"the stored predictions of {name} are damaged or missing: predicted again"
    )
    assert stored.evaluate(model, found=found).scores == before
    assert model.asked == [name]
    assert stored.look().complete


def test_what_needs_probabilities_is_predicted_again_where_none_are_stored(stored, monkeypatch):
    monkeypatch.setattr(Auc, "version", 2)
    assert stored.look() == Reuse(
        "predicting again: auc is of version 2 now, 1 then, and the probabilities that this needs were not stored"
    )


def test_stored_probabilities_are_scored_within_their_16_bits_and_stay_as_they_are(place, monkeypatch):
    config = CONFIG.model_copy(update={"store_probabilities": True})
    before = place.evaluate(Grey(), config).scores
    files = [place.run.probability_file("val", sample.id) for sample in place.samples]
    contents = [path.read_bytes() for path in files]
    monkeypatch.setattr(Auc, "version", 2)
    found, model = place.look(config), Grey()
    assert "auc from stored probabilities of 16 bits" in found.said
    rows = place.evaluate(model, config, found).scores.rows
    assert model.asked == []
    for was, now in zip(before.rows, rows, strict=True):
        assert now.values["auc"] == pytest.approx(was.values["auc"], abs=1e-4)
        assert {**now.values, "auc": 0} == {**was.values, "auc": 0}
        assert (now.mask_sha256, now.calibration) == (was.mask_sha256, was.calibration)
    assert [path.read_bytes() for path in files] == contents
    files[1].write_bytes(contents[0])
    monkeypatch.setattr(Auc, "version", 3)
    assert f"the stored predictions of {place.samples[1].id} are damaged" in place.look(config).said


def test_probabilities_and_conventions_that_were_not_stored_need_a_prediction(stored, other_cldice):
    wanted = CONFIG.model_copy(update={"store_probabilities": True})
    assert "which were not stored" in stored.look(wanted).said
    pooled = CONFIG.model_copy(update={"conventions": ["pooled"]})
    assert stored.look(pooled) == Reuse("predicting again: the convention pooled was not measured then")
    stored.evaluate(Grey(), pooled)
    assert stored.look(pooled).complete
    assert stored.look().complete, "one that was measured beside what is asked for does no harm"


def test_conventions_beside_a_new_version_of_a_metric_need_a_prediction(place, monkeypatch):
    pooled = CONFIG.model_copy(update={"conventions": ["pooled"]})
    place.evaluate(Grey(), pooled)
    monkeypatch.setattr(ClDice, "version", 3)
    assert place.look(pooled).said.endswith("and conventions need the probabilities at every threshold")
    assert place.look(pooled).earlier is None


def test_more_or_fewer_metrics_and_another_primary_one_reuse_the_predictions(stored):
    more = CONFIG.model_copy(update={"metrics": [*CONFIG.metrics, "hd95"]})
    assert "scored again: hd95 is new" in stored.look(more).said
    assert stored.evaluate(Grey(), more, stored.look(more)).scores == stored.evaluate(Grey(), more).scores
    assert "scored again: hd95 no longer scored" in stored.look().said
    fewer = stored.evaluate(Grey(), CONFIG, stored.look())
    assert fewer.scores == stored.evaluate(Grey()).scores
    leading = CONFIG.model_copy(update={"primary": "cldice"})
    assert "the primary metric is cldice now, dice then" in stored.look(leading).said
    assert stored.evaluate(Grey(), leading, stored.look(leading)).summary["primary"] == "cldice"


def test_other_options_measure_everything_again(stored):
    other = CONFIG.model_copy(update={"options": CONFIG.options.model_copy(update={"tolerance": 3.0})})
    assert "evaluation.options differ" in stored.look(other).said
    assert stored.look(other).earlier is None, "ece and auc need probabilities"
    plain = other.model_copy(update={"metrics": ["dice", "nsd"]})
    assert stored.look(plain).earlier.carried == frozenset()


def test_a_mask_that_changes_while_it_is_scored_is_an_error(stored, other_cldice):
    found = stored.look()
    path = stored.run.prediction_file("val", stored.samples[0].id)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UserError, match="was changed while it was scored"):
        stored.evaluate(Grey(), found=found)


def test_the_basis_follows_the_model_the_precision_the_phrases_and_the_base(tmp_path, write_samples):
    catalogue, run = load_catalogue("monai"), RunDir.new(tmp_path, "unet")
    samples = write_samples(2)
    run.update(base_weights={"a.safetensors": "1" * 64})

    def basis(*overrides, asked=samples):
        recipe = load_recipe("unet", catalogue, overrides=["configure=[]", *overrides])[0]
        return basis_of_run(run, recipe, asked, catalogue, "w" * 64, "f" * 64)

    def unlike(other):
        return {part for part in PARTS if other[part] != plain[part]}

    plain = basis()
    assert set(plain) == set(PARTS)
    assert unlike(basis("train.steps=7", "evaluation.batch_size=3")) == set()
    assert unlike(basis("model.views=1")) == {"model"}
    assert unlike(basis("train.precision=bf16")) == {"precision"}
    assert unlike(basis("evaluation.threshold=0.3")) == {"threshold"}
    assert unlike(basis(asked=[replace(samples[0], prompt="artery"), samples[1]])) == {"phrases"}
    assert unlike(basis(asked=samples[::-1])) == set()
    run.update(base_weights={"elsewhere/a.safetensors": "2" * 64})
    assert unlike(basis()) == {"base_weights"}
