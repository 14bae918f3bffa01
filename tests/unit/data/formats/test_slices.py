"""The format slices: NIfTI volumes and DICOM files through MONAI's readers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from vesselbench.config import DataConfig
from vesselbench.data.formats.slices import Slices
from vesselbench.data.read import load_example, read_samples
from vesselbench.data.survey import take_survey
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.types import Sample

SHAPE = (10, 8, 3)  # x, y, z of the NIfTI volume


@pytest.fixture
def catalogue() -> Catalogue:
    return load_catalogue("")


def nifti(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([0.5, 0.7, 2.0, 1.0]))
    nibabel.save(image, path)


def dicom(path: Path, frames: np.ndarray, patient: str = "", photometric: str = "MONOCHROME2") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientID, data.PhotometricInterpretation, data.SamplesPerPixel = patient, photometric, 1
    data.Rows, data.Columns = frames.shape[-2:]
    if frames.ndim == 3:
        data.NumberOfFrames = len(frames)
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelSpacing = [0.25, 0.5]
    data.PixelData = frames.astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def volume(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    values = np.random.default_rng(0).integers(-100, 400, SHAPE).astype(np.float32)
    labels = (values > 200).astype(np.uint8)
    nifti(tmp_path / "set/images/case7.nii.gz", values)
    nifti(tmp_path / "set/masks/case7.nii.gz", labels)
    return tmp_path / "set", values, labels


def read(root: Path, **options: Any) -> list[Sample]:
    return list(Slices().read(root, {"cache": root.parent / "cache", **options}))


def test_a_volume_is_cut_into_slices_of_one_group(volume: tuple[Path, np.ndarray, np.ndarray]) -> None:
    root, values, labels = volume
    samples = read(root)
    assert [sample.id for sample in samples] == ["case7_0000", "case7_0001", "case7_0002"]
    assert {sample.group for sample in samples} == {"case7"}
    assert samples[0].spacing == pytest.approx((0.7, 0.5))
    low, high = values.min(), values.max()
    for number, sample in enumerate(samples):
        example = load_example(sample)
        expected = np.rint((values[:, :, number].T - low) * (255 / (high - low)))
        assert np.abs(example.image[..., 0] - expected).max() <= 1
        assert np.array_equal(example.mask, labels[:, :, number].T > 0)


@pytest.mark.parametrize(("axis", "count", "size"), [(0, 10, (3, 8)), (1, 8, (3, 10)), (2, 3, (8, 10))])
def test_a_volume_is_cut_along_any_axis(volume: Any, axis: int, count: int, size: tuple[int, int]) -> None:
    samples = read(volume[0], axis=axis)
    assert len(samples) == count
    assert load_example(samples[0]).size == size


def test_a_window_clips_to_black_and_white(volume: tuple[Path, np.ndarray, np.ndarray]) -> None:
    root, values, _ = volume
    image = load_example(read(root, window=[0, 100])[0]).image[..., 0]
    assert (image[values[:, :, 0].T <= 0] == 0).all()
    assert (image[values[:, :, 0].T >= 100] == 255).all()
    with pytest.raises(UserError, match="two rising numbers"):
        read(root, window=[5, 5])


def test_frames_of_a_dicom_file_are_slices_of_its_patient(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 4000, (4, 6, 9))
    dicom(tmp_path / "set/images/run1.dcm", frames, "P-11")
    dicom(tmp_path / "set/masks/run1.dcm", frames > 2000)
    dicom(tmp_path / "set/images/sub/single.dcm", frames[0], "P-12")
    dicom(tmp_path / "set/masks/sub/single.dcm", frames[0] > 2000)
    samples = read(tmp_path / "set")
    assert [(sample.id, sample.group) for sample in samples[::4]] == [("run1_0000", "P-11"), ("sub/single", "P-12")]
    assert samples[0].spacing == (0.25, 0.5)
    for number, sample in enumerate([*samples[:4], samples[4]]):
        example = load_example(sample)
        assert np.array_equal(example.mask, frames[number % 4] > 2000)
        assert np.corrcoef(example.image[..., 0].ravel(), frames[number % 4].ravel())[0, 1] > 0.999


def test_monochrome1_is_shown_as_it_is_meant(tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 4000, (6, 9))
    dicom(tmp_path / "set/images/a.dcm", frame, photometric="MONOCHROME1")
    dicom(tmp_path / "set/masks/a.dcm", frame > 2000)
    example = load_example(read(tmp_path / "set")[0])
    assert np.corrcoef(example.image[..., 0].ravel(), frame.ravel())[0, 1] < -0.999
    assert np.array_equal(example.mask, frame > 2000)


def test_slices_are_written_once_and_anew_when_a_file_changes(volume: Any) -> None:
    root, values, _ = volume
    first = read(root)[0].image
    stamp = first.stat().st_mtime_ns
    assert read(root)[0].image == first
    assert first.stat().st_mtime_ns == stamp
    nifti(root / "images/case7.nii.gz", values * 2 + 1)
    assert read(root)[0].image.parent != first.parent
    assert sorted(path.name for path in (root.parent / "cache").iterdir() if path.name.startswith(".")) == []


def test_the_whole_road_reads_them(volume: Any, catalogue: Catalogue) -> None:
    options = {"cache": str(volume[0].parent / "cache")}
    config = DataConfig(format="slices", root=volume[0], options=options)
    assert [sample.group for sample in read_samples(config, catalogue)] == ["case7"] * 3
    taken = take_survey(config, catalogue)
    assert (len(taken.samples), taken.findings) == (3, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: nifti(root / "masks/case7.nii.gz", np.zeros((10, 8, 4), np.uint8)), "its mask 4 x 8 x 10"),
        (lambda root: nifti(root / "masks/case7.nii.gz", np.full(SHAPE, 0.5, np.float32)), "not whole numbers"),
        (lambda root: nifti(root / "images/case7.nii.gz", np.full(SHAPE, np.nan, np.float32)), "not finite"),
        (lambda root: nifti(root / "images/case7.nii.gz", np.zeros((*SHAPE, 2), np.float32)), "not that of slices"),
        (lambda root: (root / "images/case7.nii.gz").write_bytes(b"no volume"), "case7.nii.gz cannot be read"),
        (lambda root: (root / "images/other.dcm").write_bytes(b"no volume"), "1 of 2 files have no mask: other"),
        (lambda root: (root / "masks/case7.nii.gz").unlink(), "1 of 1 files have no mask: case7"),
        (lambda root: (root / "images/case7.nii").write_bytes(b"x"), "same stem 'case7'"),
    ],
)
def test_what_does_not_fit_is_refused_and_found(volume: Any, catalogue: Catalogue, change: Any, words: str) -> None:
    root = volume[0]
    change(root)
    with pytest.raises(UserError) as caught:
        read(root)
    assert words in caught.value.message
    config = DataConfig(format="slices", root=root, options={"cache": str(root.parent / "cache")})
    assert [words in finding.reason for finding in take_survey(config, catalogue).findings] == [True]


@pytest.mark.parametrize(("package", "extra", "suffix"), [("nibabel", "nifti", ".nii"), ("pydicom", "dicom", ".dcm")])
def test_an_extra_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, suffix: str
) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        (tmp_path / "set" / kind / f"a{suffix}").write_bytes(b"x")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest))
    with pytest.raises(UserError, match=f"{package} is not installed") as caught:
        read(tmp_path / "set")
    assert f"vesselbench[{extra}]" in caught.value.hint


def test_a_label_map_gives_a_sample_for_each_target(tmp_path: Path) -> None:
    labels = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
    nifti(tmp_path / "set/images/case7.nii.gz", np.random.default_rng(0).random(SHAPE).astype(np.float32))
    nifti(tmp_path / "set/masks/case7.nii.gz", labels)
    samples = read(tmp_path / "set", values={"artery": [1, 3], "vein": 2}, prompts={"vein": "a vein"})
    assert [sample.id for sample in samples[:2]] == ["case7_0000:artery", "case7_0000:vein"]
    assert [sample.prompt for sample in samples[:2]] == ["artery", "a vein"]
    for sample, values in zip(samples[:2], ((1, 3), (2,)), strict=True):
        assert np.array_equal(load_example(sample).mask, np.isin(labels[:, :, 0].T, values))
    assert len(samples) == 6
    assert len(list((tmp_path / "cache").iterdir())) == 1
    read(tmp_path / "set", foreground=[1])  # other targets of the same slices
    assert len(list((tmp_path / "cache").iterdir())) == 1
