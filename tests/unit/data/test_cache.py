"""Cached masks are the decoded ones, damage is found, and nothing stale is ever used."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data import cache as caching
from vesselbench.data.cache import MaskCache, PackedMask, load_with, mask_key, open_cache
from vesselbench.data.masks import decode, encode_rle, mask_sha256, to_uncompressed
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.recipes import merge, parse_override, validate_options
from vesselbench.types import Example, MaskFile, Polygons, Rle, Sample

SIZE = (24, 30)
TRIANGLES = Polygons(((2.0, 3.0, 20.5, 4.0, 9.0, 17.0), (12.0, 12.0, 28.0, 12.0, 20.0, 23.0)), (48, 60))
NOISE = np.random.default_rng(0).random(SIZE) < 0.4
RUNS = encode_rle(NOISE)


@pytest.fixture
def cache(tmp_path: Path) -> MaskCache:
    return MaskCache(tmp_path / "cache")


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    found = read_samples(DataConfig(format="pairs", root=paired_folder), catalogue)
    drawn = replace(found[1], mask=(replace(TRIANGLES, size=None),), id="drawn")
    return [replace(found[0], fov=found[1].mask, observer2=found[2].mask), drawn, replace(found[2], mask=())]


def entries(cache: MaskCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def same(one: Example, other: Example) -> bool:
    pairs = ((one.image, other.image), (one.mask, other.mask), (one.fov, other.fov), (one.observer2, other.observer2))
    return one.sample == other.sample and all(np.array_equal(a, b) if a is not None else b is None for a, b in pairs)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_an_entry_reads_as_it_was_written(mask: np.ndarray) -> None:
    packed = PackedMask.of(mask)
    assert np.array_equal(caching._unpacked(caching._packed(packed), packed.size).unpack(), mask)


@pytest.mark.parametrize("mask", [(TRIANGLES,), (RUNS,), (to_uncompressed(RUNS),), (TRIANGLES, RUNS)])
def test_the_second_look_decodes_nothing_and_finds_the_same(
    cache: MaskCache, mask: tuple[Polygons | Rle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.decode(mask, SIZE, "m")
    assert np.array_equal(first, decode(mask, SIZE, "m"))
    monkeypatch.setattr(caching, "decode", None)  # it would fail if it were called
    assert np.array_equal(cache.decode(mask, SIZE, "m"), first)
    assert (cache.counts.found, cache.counts.decoded, cache.counts.damaged) == (1, 1, 0)


def test_examples_by_way_of_the_cache_are_those_without(cache: MaskCache, samples: list[Sample]) -> None:
    for _ in range(2):
        assert all(same(load_with(cache, sample), load_example(sample)) for sample in samples)
        assert all(same(load_with(None, sample), load_example(sample)) for sample in samples)
    assert (cache.counts.decoded, cache.counts.found) == (4, 4)


def test_with_its_keys_a_sample_needs_no_polygons(cache: MaskCache, samples: list[Sample]) -> None:
    whole = cache.load(samples[1])
    keys = cache.keys(samples[1], whole.size)
    bare = replace(samples[1], mask=(Polygons(((float("nan"),) * 6,)),))
    assert np.array_equal(cache.load(bare, keys).mask, whole.mask)


def test_the_key_covers_all_that_decides_a_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(NOISE.astype(np.uint8) * 255).save(path)
    moved = Polygons(((2.0, 3.0, 20.5, 4.0, 9.0, 17.5), TRIANGLES.parts[1]), TRIANGLES.size)
    joined = Polygons((TRIANGLES.parts[0] + TRIANGLES.parts[1],), TRIANGLES.size)
    masks = [
        (TRIANGLES,),
        (moved,),
        (joined,),
        (replace(TRIANGLES, size=None),),
        tuple(replace(TRIANGLES, parts=(part,)) for part in TRIANGLES.parts),
        (RUNS,),
        MaskFile(path),
        MaskFile(path, (255,)),
    ]
    keys = [mask_key(mask, size) for mask in masks for size in (SIZE, (60, 48))]
    before = mask_key(MaskFile(path), SIZE)
    Image.fromarray(~NOISE).save(path)
    keys.append(mask_key(MaskFile(path), SIZE))
    monkeypatch.setattr(caching, "DECODER", caching.DECODER + 1)
    keys += [mask_key((TRIANGLES,), SIZE)]
    assert len(set(keys)) == len(keys)
    assert before in keys


def test_the_decoder_version_stands_for_these_pixels() -> None:
    """When this fails the decoder has changed: raise cache.DECODER, and put the new hash here."""
    drawn = [decode((TRIANGLES,), SIZE, "m"), decode((TRIANGLES,), (31, 17), "m"), decode((RUNS,), (48, 60), "m")]
    digest = hashlib.sha256("".join(mask_sha256(mask) for mask in drawn).encode()).hexdigest()
    assert (caching.DECODER, digest[:16]) == (1, "1f15631a88899546")


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped pixel", "flipped head", "longer", "another's"])
def test_a_damaged_entry_is_decoded_anew_counted_and_said_once(
    cache: MaskCache, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = cache.decode((TRIANGLES,), SIZE, "m")
    (path,) = entries(cache)
    content = bytearray(path.read_bytes())
    if damage == "flipped pixel":
        content[60] ^= 1
    elif damage == "flipped head":
        content[3] ^= 1
    elif damage == "longer":
        content += b"\0"
    elif damage == "another's":
        content = bytearray(caching._packed(PackedMask.of(np.zeros((48, 15), dtype=np.bool_))))
    path.write_bytes(bytes(content[: {"cut": 50, "empty": 0}.get(damage)]))
    fresh = MaskCache(cache.folder)
    assert np.array_equal(fresh.decode((TRIANGLES,), SIZE, "m"), expected)
    assert (fresh.counts.damaged, fresh.counts.decoded) == (1, 1)
    assert np.array_equal(fresh.decode((TRIANGLES,), SIZE, "m"), expected)
    assert (fresh.counts.damaged, fresh.counts.found) == (1, 1)
    assert caplog.text.count("damaged entries") == 1


def test_a_malformed_mask_raises_each_time_and_leaves_no_entry(cache: MaskCache) -> None:
    for _ in range(2):
        with pytest.raises(UserError, match=r"annotations\[3\].*1 point"):
            cache.decode((Polygons(((1.0, 2.0),)),), SIZE, "a.json annotations[3]")
    assert entries(cache) == []


def test_a_mask_file_that_is_gone_is_named(cache: MaskCache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.png does not exist"):
        cache.decode(MaskFile(tmp_path / "gone.png"), SIZE, "m")


def test_a_folder_that_cannot_be_written_is_said_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = MaskCache(tmp_path / "file" / "cache")
    for _ in range(2):
        assert np.array_equal(cache.decode((TRIANGLES,), SIZE, "m"), decode((TRIANGLES,), SIZE, "m"))
        cache.decode((RUNS,), SIZE, "m")
    assert cache.counts.decoded == 4
    assert caplog.text.count("cannot be written") == 1


def test_others_cannot_read_the_masks(cache: MaskCache) -> None:
    cache.decode((TRIANGLES,), SIZE, "m")
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


def _fill(folder: Path, number: int) -> int:
    cache = MaskCache(folder)
    for turn in range(40):
        part = tuple(value + (turn + number) % 7 for value in TRIANGLES.parts[0])
        cache.decode((Polygons((part,)),), SIZE, "m")
    return cache.counts.damaged


def test_processes_that_share_a_folder_never_see_half_an_entry(cache: MaskCache) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        damaged = pool.starmap(_fill, [(cache.folder, number) for number in range(4)])
    assert damaged == [0, 0, 0, 0]
    assert len(entries(cache)) == 7


def test_a_cache_travels_to_loader_processes(cache: MaskCache) -> None:
    cache.decode((TRIANGLES,), SIZE, "m")
    assert pickle.loads(pickle.dumps(cache)).folder == cache.folder


def test_the_setting_names_a_folder_or_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def opened(*words: str) -> MaskCache | None:
        values: dict[str, object] = {}
        for word in words:
            values = merge(values, parse_override(word))
        return open_cache(validate_options(DataConfig, values.get("data", {}), "data."))

    assert opened().folder == tmp_path / "vesselbench" / "masks"
    assert opened("data.cache=off") is None
    assert opened("data.cache='off'") is None
    assert opened(f"data.cache={tmp_path}/other").folder == tmp_path / "other"
    with pytest.raises(UserError, match=r"data\.cache"):
        opened("data.cache=3")
