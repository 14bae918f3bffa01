"""A split never shares a group, follows from its seed, and is tied to its data by a fingerprint."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vesselbench.config import DataConfig, SplitConfig
from vesselbench.data.fingerprint import fingerprint
from vesselbench.data.read import read_samples
from vesselbench.data.splitting.split import make_split, refuse_leaks, select
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import SET_NAMES, MaskFile, Polygons, Sample, Split


@pytest.fixture
def samples(paired_folder: Path, catalogue: Catalogue) -> list[Sample]:
    return read_samples(DataConfig(format="pairs", root=paired_folder, group=r"(p\d+)_"), catalogue)


@pytest.fixture(scope="module")
def one_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("split") / "i.png"
    Image.new("L", (4, 4)).save(path)
    return path


@settings(deadline=None, max_examples=60)
@given(
    groups=st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=40),
    seed=st.integers(0, 5),
    val=st.floats(0.05, 0.45),
    test=st.floats(0.05, 0.45),
)
def test_groups_never_share_a_side_and_nothing_is_lost(
    one_image: Path, groups: list[str], seed: int, val: float, test: float
) -> None:
    samples = [Sample(f"{n}", one_image, (), group=group) for n, group in enumerate(groups)]
    config = SplitConfig(seed=seed, val=val, test=test)
    try:
        split = make_split(samples, config, "x")
    except UserError as error:
        assert "leaves no group" in error.message  # noqa: PT017 - the other way out is checked below
        return
    sides = {name: {sample.group for sample in select(samples, split, name)} for name in SET_NAMES}
    assert all(sides.values())
    assert sum(len(side) for side in sides.values()) == len(set(groups))
    assert sorted(id_ for ids in split.sets.values() for id_ in ids) == sorted(sample.id for sample in samples)
    refuse_leaks(samples, split)


def test_a_share_is_a_share_of_all_groups(samples: list[Sample]) -> None:
    split = make_split(samples, SplitConfig(val=0.3, test=0.5), "x")
    assert [len(split.sets[name]) for name in SET_NAMES] == [2, 4, 6]
    split = make_split(samples, SplitConfig(val=0.34, test=["p5", "p4"]), "x")
    assert [len(split.sets[name]) for name in SET_NAMES] == [4, 4, 4]
    assert split.sets["test"] == ("p4_a", "p4_b", "p5_a", "p5_b")


def test_the_seed_alone_decides(samples: list[Sample]) -> None:
    first = make_split(samples, SplitConfig(seed=1), "x")
    again = make_split(samples[::-1], SplitConfig(seed=1), "x")
    others = {make_split(samples, SplitConfig(seed=seed), "x").sets["test"] for seed in range(8)}
    assert first == again
    assert len(others) > 1


def test_unknown_group_names_are_refused(samples: list[Sample]) -> None:
    with pytest.raises(UserError, match=r"data\.split\.val: no group 'p55'") as caught:
        make_split(samples, SplitConfig(val=["p55"]), "x")
    assert "p5" in caught.value.hint


def test_a_group_named_for_two_sets_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(UserError, match="'p1' stands in val and in test"):
        make_split(samples, SplitConfig(val=["p1"], test=["p2", "p1"]), "x")


@pytest.mark.parametrize("val", [[], ["p0", "p1", "p2", "p3", "p4"]])
def test_an_empty_set_is_refused_with_counts(samples: list[Sample], val: list[str]) -> None:
    with pytest.raises(UserError, match="6 groups give train"):
        make_split(samples, SplitConfig(val=val, test=["p5"]), "x")


def test_the_fingerprint_does_not_depend_on_the_order(samples: list[Sample]) -> None:
    assert fingerprint(samples) == fingerprint(samples[::-1])


def test_the_fingerprint_follows_ids_groups_pixels_and_masks(samples: list[Sample]) -> None:
    prints = {fingerprint(samples), fingerprint(samples[1:])}
    prints.add(fingerprint([replace(samples[0], id="other"), *samples[1:]]))
    prints.add(fingerprint([replace(samples[0], group="other"), *samples[1:]]))
    prints.add(fingerprint([replace(samples[0], mask=None), *samples[1:]]))
    prints.add(fingerprint([replace(samples[0], fov=samples[1].mask), *samples[1:]]))
    with Image.open(samples[0].image) as image:
        pixels = np.array(image)
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(samples[0].image)
    prints.add(fingerprint(samples))
    assert len(prints) == 7


def test_the_fingerprint_sees_decoded_masks_not_their_encoding(samples: list[Sample], tmp_path: Path) -> None:
    assert isinstance(samples[0].mask, MaskFile)
    with Image.open(samples[0].mask.path) as image:
        Image.fromarray(np.array(image) // 255).save(tmp_path / "same.png")
    same = replace(samples[0], mask=MaskFile(tmp_path / "same.png"))
    assert fingerprint([same, *samples[1:]]) == fingerprint(samples)


def test_the_fingerprint_refuses_a_malformed_mask(samples: list[Sample]) -> None:
    broken = replace(samples[0], mask=(Polygons(((1.0, 2.0),)),))
    with pytest.raises(UserError, match="1 point"):
        fingerprint([broken])


def write_split(path: Path, split: Split) -> SplitConfig:
    path.write_text(json.dumps(asdict(split)))
    return SplitConfig(file=path)


def test_a_split_file_is_used_as_it_is(samples: list[Sample], tmp_path: Path) -> None:
    split = make_split(samples, SplitConfig(seed=3), "x")
    assert make_split(samples, write_split(tmp_path / "split.json", split), "y") == split


def test_a_split_file_of_other_data_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    config = write_split(tmp_path / "split.json", make_split(samples, SplitConfig(), "x"))
    changed = [replace(samples[0], mask=samples[1].mask), *samples[1:]]
    with pytest.raises(UserError, match="made from other data"):
        make_split(changed, config, "x")
    with pytest.raises(UserError, match="1 unknown samples: "):
        make_split(samples[1:], config, "x")


def test_a_split_file_with_a_leak_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    split = make_split(samples, SplitConfig(val=["p0"], test=["p1"]), "x")
    leaking = replace(split, sets={"train": split.sets["train"], "val": ("p0_a",), "test": ("p0_b",)})
    with pytest.raises(UserError, match="group 'p0' stands in val and in test"):
        make_split(samples, write_split(tmp_path / "leak.json", leaking), "x")
    twice = replace(split, sets={**split.sets, "val": ("p0_a", "p0_a")})
    with pytest.raises(UserError, match="'p0_a' stands in val and in val"):
        make_split(samples, write_split(tmp_path / "twice.json", twice), "x")


def test_a_split_file_without_a_set_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    split = make_split(samples, SplitConfig(), "x")
    config = write_split(tmp_path / "s.json", replace(split, sets={"train": split.sets["train"]}))
    with pytest.raises(UserError, match="has no val and no test set"):
        make_split(samples, config, "x")


def test_select_refuses_ids_that_are_not_there(samples: list[Sample]) -> None:
    split = make_split(samples, SplitConfig(), "x")
    with pytest.raises(UserError, match="unknown samples"):
        select([], split, "train")


def write_csv(path: Path, text: str) -> SplitConfig:
    path.write_text(text)
    return SplitConfig(file=path)


BY_GROUP = "group,set\np0,test\np1,val\np2,train\np3,train\np4,train\np5,none\n"


def test_a_csv_file_of_groups_is_used_as_it_is(samples: list[Sample], tmp_path: Path) -> None:
    split = make_split(samples, write_csv(tmp_path / "s.csv", BY_GROUP), "x")
    assert split.sets["test"] == ("p0_a", "p0_b")
    assert split.sets["val"] == ("p1_a", "p1_b")
    assert len(split.sets["train"]) == 6
    assert split.fingerprint == fingerprint(samples)


@pytest.mark.parametrize("key", ["id", "file"])
def test_a_csv_file_of_samples_or_files_says_the_same(samples: list[Sample], tmp_path: Path, key: str) -> None:
    by_group = make_split(samples, write_csv(tmp_path / "g.csv", BY_GROUP), "x")
    side = {sample_id: name for name, ids in by_group.sets.items() for sample_id in ids}
    values = {sample.id: sample.id if key == "id" else sample.image.name for sample in samples}
    rows = "".join(f"{values[sample.id]},{sample.group},{side.get(sample.id, 'none')}\n" for sample in samples)
    config = write_csv(tmp_path / "s.csv", f"{key},group,set\n{rows}")
    assert make_split(samples, config, "x") == by_group


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BY_GROUP.replace("p5,none\n", ""), "names no set for 2 samples, the first is 'p5_a'"),
        (BY_GROUP.replace("val", "valid"), "line 3: the set is 'valid'"),
        (BY_GROUP.replace("p2,", "p7,"), "line 4: no sample has group 'p7'"),
        (BY_GROUP + "p0,test\n", "'p0_a' is named in line 2 and in line 8"),
        (BY_GROUP.replace("test", "train"), "has no test set"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_refused(samples: list[Sample], tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        make_split(samples, write_csv(tmp_path / "s.csv", text), "x")
    assert "s.csv" in caught.value.message


def test_a_csv_file_that_parts_a_group_is_refused_unless_allowed(samples: list[Sample], tmp_path: Path) -> None:
    rows = "".join(f"{s.id},{'test' if s.id == 'p0_a' else 'val' if s.group == 'p1' else 'train'}\n" for s in samples)
    config = write_csv(tmp_path / "s.csv", f"id,set\n{rows}")
    with pytest.raises(UserError, match="group 'p0' stands in train and in test") as caught:
        make_split(samples, config, "x")
    assert "data.allow_leak" in caught.value.hint
    assert make_split(samples, config, "x", allow_leak=True).sets["test"] == ("p0_a",)


def test_a_sample_in_two_sets_is_refused_even_where_leaks_are_allowed(samples: list[Sample], tmp_path: Path) -> None:
    split = make_split(samples, SplitConfig(), "x")
    twice = replace(split, sets={**split.sets, "val": split.sets["test"]})
    with pytest.raises(UserError, match="stands in"):
        make_split(samples, write_split(tmp_path / "s.json", twice), "x", allow_leak=True)


@pytest.mark.parametrize("subset", [0.05, 0.25, 0.5])
def test_a_subset_keeps_val_and_test_and_whole_groups_of_the_training_set(samples: list[Sample], subset: float) -> None:
    whole = make_split(samples, SplitConfig(), "x")
    part = make_split(samples, SplitConfig(subset=subset), "x")
    assert {name: part.sets[name] for name in ("val", "test")} == {name: whole.sets[name] for name in ("val", "test")}
    assert set(part.sets["train"]) < set(whole.sets["train"])
    kept = {sample.group for sample in select(samples, part, "train")}
    assert len(part.sets["train"]) == 2 * len(kept)
    assert len(kept) == max(1, int(subset * len(whole.sets["train"]) / 2 + 0.5))
    assert part.fingerprint == whole.fingerprint


def test_a_subset_of_a_fixed_file_is_taken_too(samples: list[Sample], tmp_path: Path) -> None:
    config = write_split(tmp_path / "s.json", make_split(samples, SplitConfig(), "x"))
    part = make_split(samples, config.model_copy(update={"subset": 0.5}), "x")
    assert part == make_split(samples, SplitConfig(subset=0.5), "x")


def test_stratifying_goes_by_the_decoded_masks(samples: list[Sample]) -> None:
    config = SplitConfig(stratify=True, test=0.34)
    by_hand = {sample.id: float(sample.group[1:]) / 10 for sample in samples}
    split = make_split(samples, config, "x", fractions=by_hand)
    low, high = sorted({sample.group for sample in select(samples, split, "test")})
    assert low < "p3" <= high  # one of the three sparse groups, one of the three dense ones
    assert make_split(samples, config, "x") == make_split(samples[::-1], config, "x")
