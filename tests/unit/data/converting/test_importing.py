"""An imported data set is checked and complete, and, when asked, no byte of it tells a name."""

from __future__ import annotations

import base64
import csv
import gzip
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from vesselbench.commands.data import data_app
from vesselbench.config import DataConfig
from vesselbench.data.converting.images import redrawn
from vesselbench.data.converting.importing import Imported, import_data
from vesselbench.data.converting.names import hidden_names, keyed
from vesselbench.data.images import read_image
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue

NAME = "SMITHSON"
SIZE = (16, 20)


def shape(number: int) -> dict[str, object]:
    points = [[2 + number, 2], [15, 3 + number], [8, 14]]
    return {"label": "vessel", "shape_type": "polygon", "points": points, "description": NAME}


@pytest.fixture
def named(tmp_path: Path) -> DataConfig:
    """LabelMe files of three patients whose names stand in every place where a name can stand."""
    root = tmp_path / f"of {NAME}"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        stem = f"{NAME}-{number // 2}_{number}"
        image = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        if number % 2:
            texts = PngImagePlugin.PngInfo()
            texts.add_text("PatientName", NAME)
            texts.add_itxt("Comment", NAME.lower())
            image.save(root / f"{stem}.png", pnginfo=texts)
        else:
            exif = Image.Exif()
            exif[0x013B] = NAME  # Artist
            image.save(root / f"{stem}.jpg", exif=exif, comment=NAME.encode(), quality=90)
        document = {"shapes": [shape(number)], "imageHeight": SIZE[0], "imageWidth": SIZE[1], "operator": NAME}
        document |= {"imagePath": f"C:/{NAME}/{stem}", "imageData": base64.b64encode(NAME.encode()).decode()}
        (root / f"{stem}.json").write_text(json.dumps(document))
    return DataConfig(format="labelme", root=root, group=r"([A-Z]+-\d)_")


def read(done: Imported) -> DataConfig:
    copy = done.conversion
    groups = copy.folder / "groups.csv" if copy.has_group_file else None
    return DataConfig(format=copy.form, root=copy.folder, options=copy.options, groups=groups)


def content(path: Path) -> bytes:
    packed = path.read_bytes()
    return packed + (gzip.decompress(packed) if path.suffix == ".gz" else b"")


def spoken_in(folder: Path, name: str) -> list[Path]:
    """Files of the folder, and records beside it, that hold the name in some case or as base64, or are called so."""
    needles = [name.encode().lower(), base64.b64encode(name.encode())[:8].lower()]
    files = [path for path in folder.rglob("*") if path.is_file()] + [folder.with_name(f"{folder.name}.convert.json")]
    texts = {path: content(path) + path.relative_to(folder.parent).as_posix().encode() for path in files}
    return [path for path, text in texts.items() if any(needle in text.lower() for needle in needles)]


@pytest.mark.parametrize("form", [None, "arcade", "coco", "dicom", "labelme", "nifti", "pairs", "sa2va"])
def test_a_name_occurs_in_no_byte_of_the_copy(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path, form: str | None
) -> None:
    done = import_data(named, catalogue, tmp_path / "copy", form, pseudonymise=True)
    assert spoken_in(tmp_path / "copy", NAME) == []
    assert len([path for path in (tmp_path / "copy").rglob("images/*") if path.suffix != ".json"]) == 6
    assert all(loss.exact for loss in done.conversion.losses.masks)


def test_the_search_for_names_finds_them_where_they_are_kept(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    import_data(named, catalogue, tmp_path / "copy")
    found = spoken_in(tmp_path / "copy", NAME)
    assert len([path for path in found if path.parent.name == "images"]) == 6


def test_one_file_beside_the_copy_turns_the_names_back_and_only_its_owner_reads_it(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    done = import_data(named, catalogue, tmp_path / "copy", pseudonymise=True)
    assert done.mapping == tmp_path / "copy.mapping.csv"
    assert stat.S_IMODE(done.mapping.stat().st_mode) == 0o600
    with done.mapping.open(encoding="utf-8", newline="") as file:
        rows = {(row["kind"], row["pseudonym"]): row["original"] for row in csv.DictReader(file)}
    before = {s.image.name: s for s in read_samples(named, catalogue)}
    after = read_samples(read(done), catalogue)
    assert len(after) == 6
    for sample in after:
        original = before[rows["image", sample.id]]
        assert rows["group", sample.group] == original.group
        one, other = load_example(sample), load_example(original)
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
    assert len({sample.group for sample in after}) == 3


def test_pseudonyms_differ_each_time_and_stand_in_an_order_of_their_own(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    samples = read_samples(named, catalogue)
    one, other = hidden_names(samples), hidden_names(samples)
    assert not set(one.stems.values()) & set(other.stems.values())
    done = import_data(named, catalogue, tmp_path / "copy", pseudonymise=True)
    document = json.loads((done.conversion.folder / "annotations.json").read_text())
    names = [image["file_name"] for image in document["images"]]
    assert names == sorted(names)
    assert keyed("image", ["a", "b", "a"], b"k") == keyed("image", ["b", "a"], b"k")


def test_tags_of_dicom_files_stay_behind(tmp_path: Path, catalogue: Catalogue) -> None:
    frames = np.random.default_rng(0).integers(0, 4000, (2, *SIZE))
    for folder, pixels in (("images", frames), ("masks", frames > 3000)):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.PatientID = data.PatientName = NAME
        data.PhotometricInterpretation, data.SamplesPerPixel, data.NumberOfFrames = "MONOCHROME2", 1, 2
        data.Rows, data.Columns = SIZE
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.PixelSpacing = 15, 0, [0.25, 0.5]
        data.PixelData = pixels.astype(np.uint16).tobytes()
        (tmp_path / "set" / folder).mkdir(parents=True)
        data.save_as(tmp_path / "set" / folder / f"{NAME}.dcm", enforce_file_format=True)
    options = {"cache": str(tmp_path / "cache")}
    source = DataConfig(format="slices", root=tmp_path / "set", options=options)
    done = import_data(source, catalogue, tmp_path / "copy", pseudonymise=True)
    assert spoken_in(tmp_path / "copy", NAME) == []
    assert len({sample.group for sample in read_samples(read(done), catalogue)}) == 1
    assert done.conversion.losses.unheld == {"pixel spacing": 2}


def test_an_error_of_the_check_stops_the_import_before_anything_is_written(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    path = sorted(named.root.glob("*.json"))[0]
    document = json.loads(path.read_text())
    document["shapes"].append({**shape(0), "points": [[3, 4]]})
    path.write_text(json.dumps(document))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"finds 1 error, the first.*1 point.*too-few-points"):
        import_data(named, catalogue, tmp_path / "copy", pseudonymise=True)
    assert sorted(tmp_path.iterdir()) == before


def test_a_mapping_is_never_overwritten_and_goes_with_a_copy_that_failed(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    mapping = tmp_path / "copy.mapping.csv"
    mapping.write_text("precious")
    with pytest.raises(UserError, match=r"mapping\.csv exists already"):
        import_data(named, catalogue, tmp_path / "copy", pseudonymise=True)
    assert mapping.read_text() == "precious"
    mapping.unlink()
    with pytest.raises(UserError, match="cannot be written"):
        import_data(named, catalogue, tmp_path / "copy", "phantom", pseudonymise=True)
    assert not mapping.exists()


def test_a_phrase_that_holds_a_name_is_refused(named: DataConfig, catalogue: Catalogue, tmp_path: Path) -> None:
    source = named.model_copy(update={"options": {"prompts": {"vessel": f"vessel of {NAME}-1"}}})
    with pytest.raises(UserError, match="contains 'smithson', of the name of"):
        import_data(source, catalogue, tmp_path / "copy", pseudonymise=True)


def test_without_pseudonyms_images_are_copied_byte_by_byte(
    named: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    done = import_data(named, catalogue, tmp_path / "copy")
    assert done.mapping is None
    assert done.conversion.form == "coco"
    for path in named.root.glob(f"{NAME}*.jpg"):
        assert (tmp_path / "copy" / "images" / path.name).read_bytes() == path.read_bytes()


def test_fields_of_view_make_it_pairs(paired_folder: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    source = DataConfig(format="pairs", root=paired_folder, options={"fov": "masks"})
    done = import_data(source, catalogue, tmp_path / "copy")
    assert done.conversion.form == "pairs"
    assert done.conversion.losses.unheld == {}


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "I;16", "I", "F", "LA", "RGBA"])
def test_a_redrawn_image_reads_as_the_original_and_holds_pixels_only(tmp_path: Path, mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 200)
    elif mode in ("I", "F"):
        image = Image.fromarray(values[..., 0].astype(np.int32) * 90000).convert(mode)
    else:
        image = Image.fromarray(values).convert(mode)
    path = tmp_path / ("x.tif" if mode in ("I", "F") else "x.png")
    image.save(path)
    drawn = redrawn(path)
    assert drawn.mode == {"I;16": "I;16", "RGB": "RGB", "P": "RGB", "RGBA": "RGB"}.get(mode, "L")
    drawn.save(tmp_path / "new.png")
    assert np.array_equal(read_image(tmp_path / "new.png"), read_image(path))


def test_the_command_says_what_stays(named: DataConfig, tmp_path: Path) -> None:
    words = ["import", str(named.root), str(tmp_path / "copy"), "--pseudonymise", "--to", "sa2va"]
    done = CliRunner().invoke(data_app, words)
    assert done.exit_code == 0, done.output
    assert "copy.mapping.csv; keep it apart" in done.stderr
    assert "burnt into the pixels" in done.stderr
    assert "no groups are known" in done.stderr
    assert "equal in every pixel" in done.stdout


@pytest.mark.parametrize("name", ["Li", "de_Li-7", "7/Li"])
def test_a_short_word_of_a_group_is_found_in_a_phrase(name: str, paired_folder: Path, catalogue: Catalogue) -> None:
    samples = read_samples(DataConfig(format="pairs", root=paired_folder), catalogue)
    told = [replace(sample, group=name, prompt="vessels of li") for sample in samples]
    with pytest.raises(UserError, match="contains 'li'"):
        hidden_names(told)
    assert hidden_names([replace(sample, prompt="line of a vessel") for sample in told]).hidden


def test_the_record_of_a_hidden_copy_does_not_tell_the_order_of_the_names(
    paired_folder: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    config = DataConfig(format="pairs", root=paired_folder)
    done = import_data(config, catalogue, tmp_path / "copy", pseudonymise=True)
    ids = [mask["id"] for mask in json.loads((tmp_path / "copy.convert.json").read_text())["masks"]]
    rows = csv.DictReader((tmp_path / "copy.mapping.csv").read_text().splitlines())
    back = {row["pseudonym"]: row["original"] for row in rows if row["kind"] == "image"}
    assert ids == sorted(ids)
    assert len({back[one] for one in ids}) == 12
    assert done.phrases == ("blood vessel", "vessel")


def test_a_mapping_that_exists_is_refused_before_the_check(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/annotations.json").write_text("{")  # the check would find this
    (tmp_path / "copy.mapping.csv").touch()
    config = DataConfig(format="coco", root=tmp_path / "data")
    with pytest.raises(UserError, match=r"mapping\.csv exists already"):
        import_data(config, catalogue, tmp_path / "copy", pseudonymise=True)
