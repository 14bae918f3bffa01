"""The order of training samples follows from (seed, epoch) alone."""

from __future__ import annotations

import hashlib
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vesselbench.config import AugmentConfig, DataConfig, TrainConfig
from vesselbench.data import cache as caching
from vesselbench.data import memory
from vesselbench.data.cache import MaskCache
from vesselbench.data.loader import accumulation, epoch_order, train_batches
from vesselbench.data.read import read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Batch, Example, Polygons, Sample

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


def named(examples: list[Example]) -> dict[str, Any]:
    return {
        "image": [torch.from_numpy(example.image.copy()) for example in examples],
        "names": [example.sample.id for example in examples],
    }


def test_samples_of_one_image_come_together_changed_alike_and_count_as_one(samples: list[Sample]) -> None:
    twice = [replace(sample, id=f"{sample.id}:{target}") for sample in samples for target in ("artery", "vein")]
    images = len({sample.image for sample in samples})
    config = TrainConfig(steps=3 * images, batch_size=1, augment=CROPPED)
    batches = [batch for _, (batch,) in train_batches(twice[::-1], named, config, 0, 1, by_image=True)]
    assert all(len(batch.ids) == 2 and len({name[: name.rindex(":")] for name in batch.ids}) == 1 for batch in batches)
    assert all(torch.equal(*batch.inputs["image"]) for batch in batches)
    for epoch in range(3):
        seen = [name for batch in batches[epoch * images : (epoch + 1) * images] for name in batch.ids]
        assert sorted(seen) == sorted(sample.id for sample in twice)


def test_whole_images_are_dealt_alike_whatever_the_ranks_and_micro_batches(samples: list[Sample]) -> None:
    twice = [replace(sample, id=f"{sample.id}:{target}") for sample in samples for target in ("artery", "vein")]

    def drawn_by(world: int, **values: Any) -> list[list[str]]:
        config = TrainConfig(**{"steps": 5, "batch_size": 4, "augment": CROPPED, **values})
        ranks = [list(train_batches(twice, named, config, rank, world, by_image=True)) for rank in range(world)]
        steps = []
        for parts in zip(*ranks, strict=True):
            rows = zip(*(batches for _, batches in parts), strict=True)
            steps.append([name for row in rows for batch in row for name in batch.ids])
        return steps

    expected = drawn_by(1)
    assert drawn_by(1, micro_batch=1) == drawn_by(2) == drawn_by(2, micro_batch=1, workers=2) == expected


def test_what_changes_a_sample_follows_from_seed_epoch_and_id_not_from_its_company(samples: list[Sample]) -> None:
    whole = [dict(step) for step in steps(samples, steps=3, batch_size=12)]
    half = [dict(step) for step in steps(samples[::2], steps=3, batch_size=6)]
    for epoch in range(3):
        assert {name: whole[epoch][name] for name in half[epoch]} == half[epoch]
    assert steps(samples, steps=1, batch_size=12, seed=7) != steps(samples, steps=1, batch_size=12)
    renamed = [replace(sample, id=f"x{sample.id}") for sample in samples]
    other = dict(steps(renamed, steps=1, batch_size=12)[0])
    assert {other[f"x{name}"] for name in whole[0]}.isdisjoint(whole[0].values())


def masks_too(examples: list[Example]) -> dict[str, Any]:
    both = [np.concatenate([example.image, 255 * example.mask[..., None]], axis=2) for example in examples]
    return {"image": torch.stack([torch.from_numpy(pixels.astype(np.uint8)) for pixels in both])}


@pytest.fixture
def outlined(samples: list[Sample]) -> list[Sample]:
    """The same images with a polygon each, and one negative."""
    drawn = [(Polygons(((1.0, 1.0, 14.0, 1.0 + number / 2, 6.0, 11.0),)),) for number in range(len(samples))]
    return [replace(sample, mask=drawn[number] if number else ()) for number, sample in enumerate(samples)]


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_a_cache_cold_or_warm_changes_no_batch(
    outlined: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("vesselbench.data.loader.MEMORY", limit)
    config = TrainConfig(steps=7, batch_size=4, augment=CROPPED)

    def batches(cache: MaskCache | None, **values: Any) -> list[Any]:
        chosen = config.model_copy(update=values)
        return [digest(found) for _, found in train_batches(outlined, masks_too, chosen, 0, 1, cache=cache)]

    expected = batches(None)
    assert batches(MaskCache(tmp_path / "a")) == expected
    assert batches(MaskCache(tmp_path / "a")) == expected
    assert batches(MaskCache(tmp_path / "b"), workers=2) == expected
    assert batches(MaskCache(tmp_path / "b"), workers=2) == expected
    assert len([path for path in (tmp_path / "b").rglob("*") if path.is_file()]) == 11


def test_epochs_after_the_first_fill_no_polygon(
    outlined: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vesselbench.data.loader.MEMORY", 0)
    cache = MaskCache(tmp_path / "cache")
    config = TrainConfig(steps=9, batch_size=4, augment=CROPPED)
    batches = train_batches(outlined, masks_too, config, 0, 1, cache=cache)
    for _ in range(3):
        next(batches)
    assert (cache.counts.decoded, cache.counts.found) == (11, 0)
    forbid_decoding(monkeypatch)
    assert len(list(batches)) == 6
    assert cache.counts.found == 22
    later = MaskCache(cache.folder)
    assert len(list(train_batches(outlined, masks_too, config, 0, 1, cache=later))) == 9
    assert (later.counts.decoded, later.counts.found) == (0, 33)


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polygons cannot be filled from here on; empty masks need no filling."""
    decode = caching.decode

    def only_empty(mask: Any, size: tuple[int, int], where: str) -> Any:
        assert mask == (), "a polygon was filled again"
        return decode(mask, size, where)

    monkeypatch.setattr(caching, "decode", only_empty)


def test_a_batch_without_room_in_shared_memory_is_an_error_and_not_a_wait_for_ever(samples: list[Sample]) -> None:
    config = TrainConfig(steps=2, batch_size=4, workers=1, augment=CROPPED)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # inherited by the loader's process
    try:
        with pytest.raises(UserError, match="no room for a batch in shared memory"):
            list(train_batches(samples, collate, config, 0, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
