"""The order of training samples follows from (seed, epoch) alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vesselbench.config import AugmentConfig, DataConfig, TrainConfig
from vesselbench.data import memory
from vesselbench.data.loader import accumulation, epoch_order, train_batches
from vesselbench.data.read import read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Batch, Example, Sample

CROPPED = AugmentConfig(crop=8)


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    return read_samples(DataConfig(format="pairs", root=paired_folder), catalogue)


def collate(examples: list[Example]) -> dict[str, Any]:
    return {"image": torch.stack([torch.from_numpy(example.image) for example in examples])}


def broken_collate(examples: list[Example]) -> dict[str, Any]:
    raise UserError(f"{examples[0].sample.id} cannot be collated", "mend it")


def digest(batches: Sequence[Batch]) -> list[tuple[str, str]]:
    """(id, hash of the changed pixels) per sample, in order."""
    return [
        (sample_id, hashlib.sha256(image.numpy().tobytes()).hexdigest())
        for batch in batches
        for sample_id, image in zip(batch.ids, batch.inputs["image"], strict=True)
    ]


def steps(samples: list[Sample], world: int = 1, start: int = 0, **values: Any) -> list[list[tuple[str, str]]]:
    """Per step, the samples of all ranks in the order of the whole batch."""
    config = TrainConfig(**{"steps": 8, "batch_size": 4, "augment": CROPPED, **values})
    found = []
    ranks = [train_batches(samples, collate, config, rank, world, start) for rank in range(world)]
    for parts in zip(*ranks, strict=True):
        assert len({step for step, _ in parts}) == 1
        assert len({len(batches) for _, batches in parts}) == 1
        micro_batches = [batch for row in zip(*(batches for _, batches in parts), strict=True) for batch in row]
        found.append(digest(micro_batches))
    return found


def test_micro_batches_ranks_and_workers_change_nothing(samples: list[Sample]) -> None:
    expected = steps(samples)
    assert steps(samples, micro_batch=1) == expected
    assert steps(samples, micro_batch=2) == expected
    assert steps(samples, world=2) == expected
    assert steps(samples, world=2, micro_batch=1) == expected
    assert steps(samples, workers=2, micro_batch=1) == expected
    assert steps(samples[::-1]) == expected


def drawing_collate(examples: list[Example]) -> dict[str, Any]:
    """What official prompts do: draw from torch's generator."""
    return {"drawn": torch.randint(1 << 40, (len(examples),)).tolist()}


def drawn(samples: list[Sample], rank: int = 0, start: int = 0, **values: Any) -> list[list[int]]:
    config = TrainConfig(**{"steps": 6, "batch_size": 4, "augment": CROPPED, **values})
    return [batch.inputs["drawn"] for _, (batch,) in train_batches(samples, drawing_collate, config, rank, 2, start)]


def test_what_a_collator_draws_follows_from_seed_and_place_not_from_workers(samples: list[Sample]) -> None:
    before = torch.random.get_rng_state()
    expected = drawn(samples)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len({tuple(draws) for draws in expected}) == 6
    torch.randint(9, (5,))
    assert drawn(samples) == expected
    assert drawn(samples, workers=2) == expected
    assert drawn(samples, start=4) == expected[4:]
    assert drawn(samples, seed=7) != expected
    assert drawn(samples, rank=1) != expected


def numpy_collate(examples: list[Example]) -> dict[str, Any]:
    return {"base": torch.utils.data.get_worker_info().seed}


def test_worker_processes_are_seeded_by_seed_and_rank(samples: list[Sample]) -> None:
    def base(seed: int, rank: int) -> int:
        config = TrainConfig(steps=1, batch_size=2, workers=1, seed=seed)
        ((_, (batch,)),) = train_batches(samples, numpy_collate, config, rank, 2)
        return int(batch.inputs["base"])

    seeds = {place: base(*place) for place in ((0, 0), (0, 1), (1, 0))}
    assert len(set(seeds.values())) == 3
    assert base(0, 1) == seeds[0, 1]


def test_resuming_continues_where_it_stopped(samples: list[Sample]) -> None:
    assert steps(samples, start=5) == steps(samples)[5:]
    assert steps(samples, start=8) == []
    numbers = [number for number, _ in train_batches(samples, collate, TrainConfig(steps=5, augment=CROPPED), 0, 1, 2)]
    assert numbers == [3, 4, 5]


def test_the_batch_is_the_recipes_and_carries_ids_and_sizes(samples: list[Sample]) -> None:
    config = TrainConfig(steps=1, batch_size=6, micro_batch=2, augment=CROPPED)
    [(step, batches)] = list(train_batches(samples, collate, config, 0, 1))
    assert step == 1
    assert [len(batch.ids) for batch in batches] == [2, 2, 2]
    assert batches[0].sizes == [(8, 8), (8, 8)]
    assert batches[0].inputs["image"].shape == (2, 8, 8, 3)


def test_every_sample_comes_once_per_epoch_even_when_batches_straddle(samples: list[Sample]) -> None:
    ids = [sample_id for step in steps(samples, steps=9, batch_size=8) for sample_id, _ in step]
    for epoch in range(6):
        assert Counter(ids[12 * epoch : 12 * epoch + 12]) == Counter(sample.id for sample in samples)


def test_epochs_differ_in_order_and_in_augmentation(samples: list[Sample]) -> None:
    first, second = steps(samples, steps=2, batch_size=12)
    assert [sample_id for sample_id, _ in first] != [sample_id for sample_id, _ in second]
    assert dict(first) != dict(second)


def test_the_seed_decides(samples: list[Sample]) -> None:
    assert steps(samples, seed=1) == steps(samples, seed=1)
    assert steps(samples, seed=1) != steps(samples, seed=2)


def test_a_batch_larger_than_the_data_set_takes_samples_of_the_next_epoch(samples: list[Sample]) -> None:
    [batch] = steps(samples[:3], steps=1, batch_size=7)
    assert Counter(sample_id for sample_id, _ in batch).most_common()[0][1] == 3


def test_samples_decoded_on_the_way_come_in_the_same_order(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = steps(samples)
    monkeypatch.setattr("vesselbench.data.loader.MEMORY", 0)
    assert memory.MEMORY == 1 << 30
    assert steps(samples) == expected


def test_the_global_random_numbers_are_left_alone(samples: list[Sample]) -> None:
    torch.manual_seed(0)
    np_state = np.random.get_state()[1].tolist()
    before = torch.get_rng_state()
    steps(samples)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == np_state


@pytest.mark.parametrize("workers", [0, 1])
def test_a_user_error_comes_out_as_it_went_in(samples: list[Sample], workers: int) -> None:
    with pytest.raises(UserError, match="cannot be collated") as caught:
        list(train_batches(samples, broken_collate, TrainConfig(workers=workers), 0, 1))
    assert "Traceback" not in str(caught.value)


def test_a_broken_file_stops_before_the_first_step(samples: list[Sample]) -> None:
    samples[7].image.write_bytes(b"")
    with pytest.raises(UserError, match=samples[7].image.name):
        train_batches(samples, collate, TrainConfig(), 0, 1)


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(UserError, match="training set is empty"):
        train_batches([], collate, TrainConfig(), 0, 1)


def test_epoch_orders_are_permutations() -> None:
    assert sorted(epoch_order(50, 1, 2).tolist()) == list(range(50))
    assert epoch_order(50, 1, 2).tolist() != epoch_order(50, 2, 1).tolist()


@pytest.mark.parametrize(
    ("batch_size", "micro", "world", "expected"),
    [(4, None, 1, (4, 1)), (4, None, 2, (2, 1)), (32, 1, 4, (1, 8)), (32, 8, 4, (8, 1)), (6, 3, 1, (3, 2))],
)
def test_accumulation_is_the_quotient(
    batch_size: int, micro: int | None, world: int, expected: tuple[int, int]
) -> None:
    assert accumulation(TrainConfig(batch_size=batch_size, micro_batch=micro), world) == expected


@pytest.mark.parametrize(
    ("batch_size", "micro", "world", "hint"),
    [
        (32, 3, 4, "set train.batch_size=24 or 36, or train.micro_batch=2"),
        (6, 4, 1, "set train.batch_size=4 or 8, or train.micro_batch=3"),
        (5, None, 2, "set train.batch_size=4 or 6"),
        (2, None, 4, "set train.batch_size=4"),
    ],
)
def test_a_batch_that_does_not_divide_names_values_that_work(
    batch_size: int, micro: int | None, world: int, hint: str
) -> None:
    config = TrainConfig(batch_size=batch_size, micro_batch=micro)
    with pytest.raises(UserError) as caught:
        accumulation(config, world)
    assert caught.value.hint == hint
    for word in (f"train.batch_size={batch_size}", "train.micro_batch", f"{world} processes"):
        assert word in caught.value.message
