"""A copy as NIfTI or DICOM files of one slice: one for each image, one for its mask, as the format slices reads them.

Both hold one value a pixel: an image becomes its luminance (ITU-R BT.601), of which equal channels are left as they
are. What that changes is measured with the masks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.data.converting.pairs import labels_of, target_options
from vesselbench.data.converting.scene import IMAGES, Scene, Scenes, WriteOptions
from vesselbench.data.formats.volumes import need_package
from vesselbench.data.images import read_image
from vesselbench.errors import UserError

REASON = "a volume holds grey values, not an image file"
_MASKS = "masks"
_LONGEST_ID = 64
Save = Callable[[Path, npt.NDArray[np.uint8], Scene, str, bool], None]
"""Told the file, the pixels, the scene, the kind of file and whether groups are known."""


def write_nifti(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """``images/STEM.nii.gz`` and ``masks/STEM.nii.gz``; pixel spacing where it is known, groups in a table.

    UserError without nibabel, for a `write` option and for more than 255 targets.
    """
    need_package("nibabel", "nifti")
    return _write(folder, scenes, options, "nifti", ".nii.gz", _save_nifti)


def write_dicom(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """``images/STEM.dcm`` and ``masks/STEM.dcm``, secondary captures of 8 bits; the group is the PatientID.

    UserError as `write_nifti`, and for a group that no PatientID can hold.
    """
    need_package("pydicom", "dicom")
    for scene in scenes.every if scenes.grouped else ():
        if len(scene.group) > _LONGEST_ID or "\\" in scene.group or not scene.group.isprintable():
            reason = f"the group {scene.group!r} is no PatientID: at most {_LONGEST_ID} characters, no backslash"
            raise UserError(reason, "write nifti, or import the data set with --pseudonymise first")
    return _write(folder, scenes, options, "dicom", ".dcm", _save_dicom)


def _write(folder: Path, scenes: Scenes, options: WriteOptions, form: str, suffix: str, save: Save) -> dict[str, Any]:
    reading = target_options(scenes, options, form)
    for scene in scenes.every:
        grey = np.asarray(Image.fromarray(read_image(scene.image)).convert("L"))
        labels = labels_of(scene, [sample.mask for sample in scene.in_order(scenes.targets)], 1)
        for kind, pixels in ((IMAGES, grey), (_MASKS, labels)):
            path = folder / kind / f"{scene.stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, pixels, scene, kind, scenes.grouped)
    return reading | {"window": [0, 255]}


def _save_nifti(path: Path, pixels: npt.NDArray[np.uint8], scene: Scene, _kind: str, _grouped: bool) -> None:
    """Columns along the first axis, rows along the second, as the reader takes them."""
    import nibabel

    rows, columns = scene.samples[0].spacing or (1.0, 1.0)
    volume = nibabel.Nifti1Image(pixels.T[..., None], np.diag([columns, rows, 1.0, 1.0]))  # type: ignore[no-untyped-call]
    if scene.samples[0].spacing is not None:
        volume.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    nibabel.save(volume, path)


def _save_dicom(path: Path, pixels: npt.NDArray[np.uint8], scene: Scene, kind: str, grouped: bool) -> None:
    """The attributes that a secondary capture must have (DICOM PS3.3, A.8.1); unique ids follow from the new names."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    group = scene.group if grouped else ""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["file", kind, scene.stem])
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study", group or scene.stem])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", kind, group or scene.stem])
    data.PatientID, data.Modality, data.ConversionType = group, "OT", "WSD"
    for empty in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(data, empty, "")
    for empty in ("AccessionNumber", "ReferringPhysicianName", "Laterality", "PatientOrientation"):
        setattr(data, empty, "")
    data.SeriesNumber, data.InstanceNumber = None, None
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    if scene.samples[0].spacing is not None:
        data.PixelSpacing = [f"{side:.10g}" for side in scene.samples[0].spacing]
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)
