"""NIfTI and DICOM files as stacks of slices, through MONAI's readers (imports torch: import it where it is needed)."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.data.findings import Fault, Place
from vesselbench.data.formats.listing import place_of
from vesselbench.errors import UserError

_MOST_VOXELS = 1 << 30


@dataclass(frozen=True)
class Volume:
    """`slices`: float32 [N,H,W]. `spacing`: millimetres between rows and between columns, when the file says."""

    slices: npt.NDArray[np.float32]
    spacing: tuple[float, float] | None
    patient: str


def read_volume(path: Path, place: Place, axis: int = 2) -> Volume:
    """A NIfTI volume cut along `axis`, or the frames of a DICOM file (one or more; rescaled to its own units).

    UserError when the extra is not installed; Fault unreadable for a file that is damaged, coloured or not 2D or 3D.
    """
    dicom = path.name.lower().endswith(".dcm")
    need_package(*(("pydicom", "dicom") if dicom else ("nibabel", "nifti")))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on values outside the standard; what is wrong with the pixels raises
            volume = _read_dicom(path) if dicom else _read_nifti(path, axis)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - two readers and four decoders below them, each with its own exceptions
        reason = f"{path} cannot be read: {error or type(error).__name__}"
        raise Fault("unreadable", place, reason, "export it again, uncompressed") from None
    if not np.isfinite(volume.slices).all():
        raise Fault("unreadable", place, f"{path} holds values that are not finite", "replace them and save it again")
    return volume


def write_slices(
    folder: Path, stem: str, image: Path, mask: Path, root: Path, axis: int, window: tuple[float, float] | None
) -> Iterator[dict[str, Any]]:
    """Write ``images/ID.png`` (8 bits) and ``masks/ID.png`` (16 bits) below `folder`; yield a record of each slice.

    `window`: values that become 0 and 255, by default the least and greatest of the volume. Raises Fault when the two
    differ in size, or a mask holds other values than whole numbers from 0 to 65535.
    """
    pixels = read_volume(image, place_of(image, root), axis)
    place = place_of(mask, root)
    labels = read_volume(mask, place, axis).slices
    if labels.shape != pixels.slices.shape:
        reason = f"the image has {_sides(pixels.slices)}, its mask {_sides(labels)} (slices x height x width)"
        raise Fault("mask-size", place, reason, "export the mask on the grid of its image")
    if (labels != np.rint(labels)).any() or labels.min() < 0 or labels.max() > 65535:
        reason = "its values are not whole numbers from 0 to 65535"
        raise Fault("mask-values", place, reason, "export it as labels, without interpolation")
    low, high = window or (float(pixels.slices.min()), float(pixels.slices.max()))
    for number, (plane, label) in enumerate(zip(pixels.slices, labels, strict=True)):
        name = stem if len(labels) == 1 else f"{stem}_{number:04d}"
        grey = np.clip((plane - low) * (255 / max(high - low, 1e-12)), 0, 255)
        _save(np.rint(grey).astype(np.uint8), folder / "images" / f"{name}.png")
        _save(label.astype(np.uint16), folder / "masks" / f"{name}.png")
        origin = str(place) if len(labels) == 1 else f"{place} slice {number}"
        yield {"id": name, "group": pixels.patient or stem, "spacing": pixels.spacing, "origin": origin}


def need_package(package: str, extra: str) -> None:
    """UserError unless an optional package is installed."""
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{package} is not installed", f"pip install 'vesselbench[{extra}]'")


def _read_nifti(path: Path, axis: int) -> Volume:
    from monai.data import NibabelReader

    loader = NibabelReader()
    image = loader.read(path)
    values, _ = loader.get_data(image)
    zooms = [float(zoom) for zoom in image.header.get_zooms()[:3]]
    if values.ndim == 2:
        values, axis, zooms = values[..., None], 2, [*zooms, 1.0]
    _check(values)
    columns, rows = (number for number in range(3) if number != axis)  # the first remaining axis runs along a row
    spacing = (zooms[rows], zooms[columns])
    stated = spacing != (1.0, 1.0) or image.header.get_xyzt_units()[0] != "unknown"  # what a header says by default
    return Volume(_single(values.transpose(axis, rows, columns)), spacing if stated else None, "")


def _read_dicom(path: Path) -> Volume:
    from monai.data import PydicomReader

    loader = PydicomReader(swap_ij=False)
    record = loader.read(path)
    if int(getattr(record, "SamplesPerPixel", 1)) != 1:
        raise ValueError("it is coloured")
    values, _ = loader.get_data(record)
    values = values[None] if values.ndim == 2 else values
    _check(values)
    if str(getattr(record, "PhotometricInterpretation", "")).strip() == "MONOCHROME1":  # there the least is white
        values = values.max() + values.min() - values
    spacing = getattr(record, "PixelSpacing", None) or getattr(record, "ImagerPixelSpacing", None)
    patient = str(getattr(record, "PatientID", "") or "").strip()
    return Volume(_single(values), (float(spacing[0]), float(spacing[1])) if spacing else None, patient)


def _check(values: npt.NDArray[Any]) -> None:
    if values.ndim != 3 or not 0 < values.size <= _MOST_VOXELS:
        raise ValueError(f"it has the shape {' x '.join(map(str, values.shape))}, not that of slices")


def _single(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)


def _save(plane: npt.NDArray[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(plane).save(path)


def _sides(values: npt.NDArray[Any]) -> str:
    return " x ".join(map(str, values.shape))
