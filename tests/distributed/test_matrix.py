"""Every model that is trained, on two ranks: every stage and arithmetic gives what one process gives with the same
batch.

Dropout is off: it draws on each rank for itself. Points are drawn from each sample's own seed.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.distributed.matrix_worker import launch, recipe, train
from vesselbench.plugins import is_trained, load_catalogue
from vesselbench.recipes import merge

pytestmark = pytest.mark.timeout(560)
CATALOGUE = load_catalogue()
MODELS = sorted(name for name, plugin in CATALOGUE.models.items() if is_trained(plugin))
"""Of the others the contract tests show that the engine refuses them."""
CASES: dict[str, dict[str, Any]] = {
    "accumulated": {"zero_stage": 0, "micro_batch": 1},
    **{f"stage {stage}": {"zero_stage": stage} for stage in (1, 2, 3)},
    "uneven": {"zero_stage": 3},
}
LOWER = {precision: {"zero_stage": 3, "precision": precision} for precision in ("bf16", "autocast")}
AVERAGED = {f"averaged {stage}": {"zero_stage": stage, "ema": 0.5, "lr": 0.1} for stage in range(4)}
LOWER_MODELS = ("sa2va", "unet")  # on one process the contract tests train every model in bf16


def job(model: str, **train: Any) -> dict[str, Any]:
    return {"recipe": recipe(model, CATALOGUE, **train)}


def frozen(**train: Any) -> dict[str, Any]:
    """Sa2VA with frozen towers, which compute otherwise than trained ones; texts differ in length."""
    return {"recipe": merge(job("sa2va", **train)["recipe"], {"model": {"freeze": "official", "prompts": "official"}})}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    """What each of two ranks found, by model and case."""
    jobs = {f"{model} {case}": job(model, **train) for model in MODELS for case, train in CASES.items()}
    jobs |= {f"{model} uneven": {**job(model, **CASES["uneven"]), "uneven": True} for model in MODELS}
    jobs |= {f"{model} {name}": job(model, **train) for model in LOWER_MODELS for name, train in LOWER.items()}
    jobs |= {f"unet {name}": job("unet", **train) for name, train in AVERAGED.items()}
    jobs["frozen"] = frozen(zero_stage=3)
    return launch(tmp_path_factory.mktemp("matrix"), jobs)


@pytest.fixture(scope="module")
def alone(dataset, device) -> dict[str, list[float]]:
    """Losses of one process at stage 0, by model: the same global batch."""
    return {model: totals(train(job(model, zero_stage=0), dataset, CATALOGUE)) for model in MODELS}


def totals(found: dict[str, Any]) -> list[float]:
    return [step["loss"] for step in found["losses"]]


@pytest.mark.parametrize("case", ["accumulated", "stage 1", "stage 2", "stage 3"])
@pytest.mark.parametrize("model", MODELS)
def test_two_ranks_learn_what_one_process_learns(model, case, ranks, alone):
    losses = totals(ranks[0][f"{model} {case}"])
    assert losses == pytest.approx(alone[model], rel=1e-5)
    assert losses[0] != losses[-1], "nothing moved"


def test_two_ranks_with_frozen_towers_learn_what_one_process_learns(ranks, dataset, device):
    alone = totals(train(frozen(zero_stage=0), dataset, CATALOGUE))
    assert alone[0] != alone[-1], "nothing moved"
    assert totals(ranks[0]["frozen"]) == pytest.approx(alone, rel=1e-5)
    assert ranks[0]["frozen"]["hash"] == ranks[1]["frozen"]["hash"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_all_ranks_end_with_the_same_weights_and_losses(model, case, ranks):
    first, second = (rank[f"{model} {case}"] for rank in ranks)
    assert first["hash"] == second["hash"]
    assert first["losses"] == second["losses"]


@pytest.mark.parametrize("model", MODELS)
def test_stage_3_leaves_each_rank_its_half(model, ranks):
    whole, half = (ranks[0][f"{model} stage {stage}"]["held"] for stage in (1, 3))
    assert half == pytest.approx(whole / 2, rel=0.01)


@pytest.mark.parametrize("model", MODELS)
def test_a_rank_with_larger_images_and_no_vessel_keeps_in_step(model, ranks):
    losses = totals(ranks[0][f"{model} uneven"])
    assert losses[-1] < losses[0], "the same batch, three times"


@pytest.mark.parametrize("arithmetic", LOWER)
@pytest.mark.parametrize("model", LOWER_MODELS)
def test_bfloat16_learns_nearly_the_same(model, arithmetic, ranks, alone):
    found = ranks[0][f"{model} {arithmetic}"]
    assert found["arithmetic"] == arithmetic
    assert totals(found) == pytest.approx(alone[model], rel=0.02)
    assert totals(found) != pytest.approx(alone[model], rel=1e-7), "that was float32"


@pytest.mark.parametrize("case", AVERAGED)
def test_every_rank_shows_the_same_average_as_one_process(case, ranks, dataset, device):
    first, second = (rank[f"unet {case}"] for rank in ranks)
    alone = train(job("unet", **AVERAGED[case]), dataset, CATALOGUE)
    plain = train(job("unet", **{**AVERAGED[case], "ema": 0.0}), dataset, CATALOGUE)
    assert first["hash"] == second["hash"]
    assert first["size"] == pytest.approx(alone["size"], rel=1e-6)
    assert abs(alone["size"] - plain["size"]) > 1e-4 * plain["size"], "the average is not the weights"
