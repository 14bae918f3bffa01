"""A converted data set is the same data set: masks, groups, phrases and images; what a format cannot hold is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from vesselbench.commands.data import data_app
from vesselbench.config import DataConfig
from vesselbench.data.converting.convert import Conversion, convert_data, write_copy
from vesselbench.data.converting.loss import compare_masks
from vesselbench.data.converting.names import own_names
from vesselbench.data.converting.scene import WriteOptions
from vesselbench.data.masks import encode_rle
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Example, Polygons, Sample

SIZE = (20, 26)
FORMS = ("coco", "labelme", "pairs", "sa2va")
RING = np.pad(np.pad(np.zeros((4, 5), dtype=np.bool_), 3, constant_values=True), ((5, 5), (7, 8)))
Convert = Callable[..., Conversion]


def reading(done: Conversion) -> DataConfig:
    groups = done.folder / "groups.csv" if done.has_group_file else None
    return DataConfig(format=done.form, root=done.folder, options=done.options, groups=groups)


def examples(config: DataConfig, catalogue: Catalogue) -> dict[str, Example]:
    return {sample.id: load_example(sample) for sample in read_samples(config, catalogue)}


@pytest.fixture
def convert(catalogue: Catalogue, tmp_path: Path) -> Convert:
    def run(config: DataConfig, form: str, name: str = "copy", **options: Any) -> Conversion:
        return convert_data(config, catalogue, tmp_path / name, form, WriteOptions(**options))

    return run


@pytest.fixture
def pairs(paired_folder: Path) -> DataConfig:
    return DataConfig(format="pairs", root=paired_folder, group=r"(p\d)_")


@pytest.fixture
def two_targets(tmp_path: Path, save_image: Callable[..., Path]) -> DataConfig:
    """COCO: overlapping polygons of artery and vein, an artery of run lengths, and an image without either."""
    root = tmp_path / "two"
    images = [
        {"id": number, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1], "who": f"P{number % 2}"}
        for number, name in enumerate(("a", "sub/b", "c"))
    ]
    for image in images:
        save_image(root / image["file_name"], SIZE, image["id"])
    ring = encode_rle(RING)
    shapes = [
        (0, 1, [[2, 2, 18, 3, 9, 15], [20, 10, 25, 10, 25, 19]]),
        (0, 2, [[5, 2, 22, 4, 12, 18]]),
        (1, 1, {"size": list(ring.size), "counts": ring.counts.decode()}),
    ]
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "segmentation": shape}
        for number, (image, category, shape) in enumerate(shapes)
    ]
    categories = [{"id": 1, "name": "artery"}, {"id": 2, "name": "vein"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return DataConfig(format="coco", root=root, options={"group_key": "who", "prompts": {"vein": "a vein"}})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("back", FORMS)
def test_there_and_back_every_pixel_group_and_phrase_is_kept(
    pairs: DataConfig, catalogue: Catalogue, convert: Convert, form: str, back: str
) -> None:
    there = convert(pairs, form, "there")
    again = convert(reading(there), back, "back")
    assert all(loss.exact and loss.dice == 1 for done in (there, again) for loss in done.losses.masks)
    before, after = examples(pairs, catalogue), examples(reading(again), catalogue)
    assert list(before) == list(after)
    for one, other in zip(before.values(), after.values(), strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
        assert (one.sample.group, one.sample.prompt) == (other.sample.group, other.sample.prompt)
        assert one.sample.image.read_bytes() == other.sample.image.read_bytes()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), masks=st.sampled_from(["rle", "polygons"]))
def test_noise_survives_pairs_to_coco_to_pairs_bit_by_bit(
    seed: int, share: float, masks: str, tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue
) -> None:
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(seed)
    planes = [rng.random(SIZE) < share, rng.random(SIZE) < share / 2]
    for number, plane in enumerate(planes):
        for folder, pixels in (("images", rng.integers(0, 256, (*SIZE, 3))), ("masks", plane * 255)):
            (root / "s" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(root / "s" / folder / f"i{number}.png")
    source = DataConfig(format="pairs", root=root / "s")
    coco = convert_data(source, catalogue, root / "coco", "coco", WriteOptions(masks=masks))
    again = convert_data(reading(coco), catalogue, root / "again", "pairs")
    found = examples(reading(again), catalogue)
    assert [np.array_equal(found[f"i{number}"].mask, plane) for number, plane in enumerate(planes)] == [True, True]


@pytest.mark.parametrize("form", ["coco", "labelme", "sa2va"])
def test_several_targets_keep_vectors_negatives_groups_and_folders(
    two_targets: DataConfig, catalogue: Catalogue, convert: Convert, form: str
) -> None:
    done = convert(two_targets, form)
    assert all(loss.exact for loss in done.losses.masks)
    before, after = examples(two_targets, catalogue), examples(reading(done), catalogue)
    assert {e.sample.prompt for e in after.values()} == {"artery", "a vein"}
    assert {e.sample.image.name for e in after.values()} == {"a.png", "b.png", "c.png"}
    vein = "vein" if form != "sa2va" else "a vein"
    for stem in ("a", "sub/b", "c"):
        for target, other in (("artery", "artery"), ("vein", vein)):
            one, copy = before[f"{stem}:{target}"], after[f"{stem}:{other}"]
            assert np.array_equal(one.mask, copy.mask)
            assert one.sample.group == copy.sample.group
    assert sum(len(part) for shape in after["a:artery"].sample.mask for part in shape.parts) == 12
    assert done.losses.unheld == ({"name of the target": 3} if form == "sa2va" else {})
    assert done.renamed == ({f"{s}:vein": f"{s}:a vein" for s in ("a", "sub/b", "c")} if form == "sa2va" else {})


def test_overlap_that_a_class_id_mask_cannot_hold_is_counted(
    two_targets: DataConfig, catalogue: Catalogue, convert: Convert
) -> None:
    done = convert(two_targets, "pairs")
    before, after = examples(two_targets, catalogue), examples(reading(done), catalogue)
    both = int((before["a:artery"].mask & before["a:vein"].mask).sum())
    losses = {loss.id: loss for loss in done.losses.masks}
    assert losses["a:vein"].lost == both > 0
    assert np.array_equal(after["a:artery"].mask, before["a:artery"].mask)
    assert [loss.id for loss in done.losses.masks if not loss.exact] == ["a:vein"]


def test_holes_that_are_dropped_are_counted_by_decoding_what_was_written(
    two_targets: DataConfig, catalogue: Catalogue, convert: Convert, tmp_path: Path
) -> None:
    done = convert(two_targets, "labelme", holes=False)
    loss = next(loss for loss in done.losses.masks if loss.id == "sub/b:artery")
    hole = 20
    pixels = int(RING.sum())
    assert (loss.pixels, loss.lost, loss.gained, loss.holes, loss.holes_lost) == (pixels, 0, hole, 1, 1)
    assert loss.dice == pytest.approx(2 * pixels / (2 * pixels + hole))
    record = json.loads((tmp_path / "copy.convert.json").read_text())
    assert next(row for row in record["masks"] if row["id"] == loss.id)["holes_lost"] == 1


def test_stated_sizes_are_resolved_into_pixels_of_the_image(
    tmp_path: Path, save_image: Callable[..., Path], catalogue: Catalogue, convert: Convert
) -> None:
    root = tmp_path / "labelled"
    save_image(root / "x.jpg", SIZE)
    shape = {"label": "vessel", "shape_type": "polygon", "points": [[3, 3], [30, 7], [12, 28]]}
    secret = {"imagePath": "C:/Smith/x.jpg", "imageData": "U21pdGg="}
    (root / "x.json").write_text(json.dumps({"shapes": [shape], "imageHeight": 40, "imageWidth": 39, **secret}))
    source = DataConfig(format="labelme", root=root)
    done = convert(source, "sa2va")
    assert [loss.exact for loss in done.losses.masks] == [True]
    assert b"Smith" not in (done.folder / "annotations.json").read_bytes()
    record = json.loads((done.folder / "annotations.json").read_text())[0]
    assert record["mask"][0][0][:2] == [3 * 26 / 39, 1.5]


def test_fields_of_view_and_second_observers_stay_in_pairs_and_are_said_to_be_lost_elsewhere(
    paired_folder: Path, catalogue: Catalogue, convert: Convert
) -> None:
    shutil.copytree(paired_folder / "masks", paired_folder / "fov")
    shutil.copytree(paired_folder / "masks", paired_folder / "second")
    (paired_folder / "second" / "p0_a.png").unlink()
    source = DataConfig(format="pairs", root=paired_folder, options={"fov": "fov", "observer2": "second"})
    kept, lost = convert(source, "pairs", "kept"), convert(source, "coco", "lost")
    assert kept.losses.unheld == {}
    assert lost.losses.unheld == {"field of view": 12, "second observer": 11}
    after = examples(reading(kept), catalogue)
    assert sum(example.observer2 is not None for example in after.values()) == 11
    assert all(np.array_equal(example.fov, example.mask) for example in after.values())


def test_a_turned_image_is_drawn_anew_and_looks_the_same(
    tmp_path: Path, paired_folder: Path, pairs: DataConfig, catalogue: Catalogue, convert: Convert
) -> None:
    path = paired_folder / "images" / "p0_a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), exif=exif, quality=95)
    path.unlink()
    before = examples(pairs, catalogue)
    done = convert(pairs, "coco")
    assert list(done.redrawn) == ["p0_a.png"]
    assert "EXIF" in done.redrawn["p0_a.png"]
    with Image.open(done.folder / "images" / "p0_a.png") as image:
        assert (image.height, image.width) == (12, 16)
    assert np.array_equal(examples(reading(done), catalogue)["p0_a"].image, before["p0_a"].image)


def test_a_category_without_annotations_is_still_a_target(
    two_targets: DataConfig, catalogue: Catalogue, convert: Convert
) -> None:
    path = two_targets.root / "annotations.json"
    document = json.loads(path.read_text())
    document["annotations"] = [one for one in document["annotations"] if one["category_id"] == 1]
    path.write_text(json.dumps(document))
    source = two_targets.model_copy(update={"options": {"categories": ["artery", "vein"]}})
    done = convert(source, "coco")
    assert {sample.target for sample in read_samples(reading(done), catalogue)} == {"artery", "vein"}
    with pytest.raises(UserError, match="no image shows 'vein'"):
        convert(source, "labelme", "other")


def test_an_image_not_annotated_for_a_target_is_no_negative_of_it(
    two_targets: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    samples = [s for s in read_samples(two_targets, catalogue) if s.id != "c:vein"]
    for form in ("coco", "labelme", "pairs"):
        with pytest.raises(UserError, match=r"c\.png was not annotated for 'vein'"):
            write_copy(samples, own_names(samples), tmp_path / form, form, WriteOptions(), catalogue)
        assert not (tmp_path / form).exists()
    done = write_copy(samples, own_names(samples), tmp_path / "s", "sa2va", WriteOptions(), catalogue)
    assert len(read_samples(reading(done), catalogue)) == 5


def test_names_that_some_file_system_refuses_are_replaced_and_listed(
    pairs: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    first, second = read_samples(pairs, catalogue)[:2]
    samples = [replace(first, id="a?b/ok"), replace(second, id="../up")]
    done = write_copy(samples, own_names(samples), tmp_path / "copy", "coco", WriteOptions(), catalogue)
    assert sorted(done.renamed) == ["../up", "a?b/ok"]
    assert all((done.folder / "images" / f"{stem}.png").is_file() for stem in done.renamed.values())
    assert not {"?", ".."} & set("/".join(done.renamed.values()).split("/"))
    clash = [replace(first, id="A"), replace(second, id="a")]
    with pytest.raises(UserError, match="would both be called"):
        own_names(clash)


def test_a_failure_leaves_nothing_behind(pairs: DataConfig, catalogue: Catalogue, tmp_path: Path) -> None:
    samples = read_samples(pairs, catalogue)
    samples[7] = replace(samples[7], mask=(Polygons(((1.0, 1.0),)),))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="1 point"):
        write_copy(samples, own_names(samples), tmp_path / "copy", "coco", WriteOptions(), catalogue)
    with pytest.raises(UserError, match="no annotation"):
        write_copy(
            [replace(samples[0], mask=None)], own_names(samples), tmp_path / "c", "coco", WriteOptions(), catalogue
        )
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_is_refused_by_name(pairs: DataConfig, catalogue: Catalogue, convert: Convert) -> None:
    root = pairs.root
    with pytest.raises(UserError, match="is not empty"):
        convert(pairs, "coco", "pairs")
    with pytest.raises(UserError, match="lie in one another"):
        convert_data(pairs, catalogue, root / "copy", "coco")
    with pytest.raises(UserError, match="cannot be written"):
        convert(pairs, "phantom")
    with pytest.raises(UserError, match=r"write\.masks=rle is for coco and arcade"):
        convert(pairs, "sa2va", masks="rle")
    with pytest.raises(UserError, match="every pixel"):
        convert(pairs, "pairs", tolerance=1.0)
    convert(pairs, "coco")
    with pytest.raises(UserError, match="is not empty"):
        convert(pairs, "coco")
    shutil.rmtree(root.parent / "copy")
    with pytest.raises(UserError, match=r"convert\.json exists already"):
        convert(pairs, "coco")


def test_a_mask_image_of_class_ids_becomes_its_targets(paired_folder: Path, convert: Convert) -> None:
    for path in sorted((paired_folder / "masks").iterdir()):
        with Image.open(path) as image:
            ids = np.asarray(image).copy()
        ids[ids > 0] = 1
        ids[:6][ids[:6] > 0] = 2
        Image.fromarray(ids).save(path)
    source = DataConfig(format="pairs", root=paired_folder, options={"values": {"artery": [1], "vein": [2]}})
    done = convert(source, "coco")
    assert len(done.losses.masks) == 24
    assert all(loss.exact for loss in done.losses.masks)
    assert all(loss.exact for loss in convert(reading(done), "pairs", "back").losses.masks)


def test_losses_are_counted_in_pixels() -> None:
    source, written = np.zeros((2, 6, 6), dtype=np.bool_)
    assert compare_masks("x", source, written).dice == 1
    source[1:4, 1:4] = True
    source[2, 2] = False
    written[1:4, 1:5] = True
    found = compare_masks("x", source, written)
    assert (found.pixels, found.lost, found.gained, found.holes, found.holes_lost) == (8, 0, 4, 1, 1)
    assert found.dice == 16 / 20


def test_the_command_converts_and_says_how_to_use_the_copy(
    pairs: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["convert", str(pairs.root), str(tmp_path / "copy"), "--to", "labelme", r"data.group=(p\d)_"]
    done = CliRunner().invoke(data_app, [*words, "write.tolerance=1"])
    assert done.exit_code == 0, done.output
    assert "12 samples" in done.stderr
    assert "data.format=labelme" in done.stderr
    assert "Masks that changed" in done.stdout
    assert json.loads((tmp_path / "copy.convert.json").read_text())["groups"] == "groups.csv"
    words[2] = str(tmp_path / "other")
    listed = CliRunner().invoke(data_app, [*words, "--json"])
    assert json.loads(listed.stdout)["copied"] == 12
    refused = CliRunner().invoke(data_app, [*words, "write.tolerence=1"])
    assert isinstance(refused.exception, UserError)


def test_ids_are_told_by_sample(pairs: DataConfig, catalogue: Catalogue, convert: Convert) -> None:
    samples: list[Sample] = read_samples(pairs, catalogue)
    assert [loss.id for loss in convert(pairs, "coco").losses.masks] == [sample.id for sample in samples]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_an_image_that_is_cut_short_is_named(pairs: DataConfig, convert: Convert, share: float) -> None:
    path = pairs.root / "images/p0_a.png"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=r"p0_a\.png is cut short or damaged"):
        convert(pairs, "coco")
