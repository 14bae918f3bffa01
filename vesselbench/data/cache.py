"""Decoded masks on disk, one bit a pixel, named by what they were decoded from: no polygon is filled twice.

An entry is a file ``<first 2 digits>/<key>``: magic bytes, height and width, the packed pixels, the SHA-256 of all of
it. The key covers the geometry (or the bytes of a mask image), the size of the image and the version of everything that
decides a pixel, so nothing ever becomes stale; the folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vesselbench.config import DataConfig
from vesselbench.data.folders import user_cache
from vesselbench.data.masks import decode
from vesselbench.data.read import load_example
from vesselbench.rundir import file_sha256
from vesselbench.types import BoolMask, Example, Mask, MaskFile, Polygons, Sample, Size

log = logging.getLogger(__name__)
DECODER = 1
"""Version of `masks.decode`: raise it with every change of a pixel, so that old entries are not used."""
_MAGIC = b"vesselbench mask 1\n"
_SIDES = struct.Struct("<QQ")
_HEAD = len(_MAGIC) + _SIDES.size
_DIGEST = hashlib.sha256().digest_size

Keys = tuple[str | None, str | None, str | None]
"""Of mask, fov and observer2; None where the sample has none."""


@dataclass(frozen=True)
class PackedMask:
    """A bool mask [H,W] in an eighth of its memory."""

    bits: npt.NDArray[np.uint8]
    size: Size

    @classmethod
    def of(cls, mask: BoolMask) -> PackedMask:
        return cls(np.packbits(mask, axis=None), (int(mask.shape[0]), int(mask.shape[1])))

    def unpack(self) -> BoolMask:
        height, width = self.size
        return np.unpackbits(self.bits, count=height * width).view(np.bool_).reshape(self.size)


@dataclass
class Counts:
    """What happened to the entries that this process asked for. `damaged`: found, not whole, and decoded anew."""

    found: int = 0
    decoded: int = 0
    damaged: int = 0


class MaskCache:
    """Masks by key in `folder`. Any number of processes may share it: an entry appears whole or not at all.

    The first damaged entry, and a folder that cannot be written, are logged as warnings; `counts` has all of them.
    A folder that refuses one entry is not written to again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts = Counts()
        self._refused = False

    def keys(self, sample: Sample, size: Size) -> Keys:
        """The keys of a sample's planes in an image of `size` (H, W). UserError when a mask file cannot be read."""
        mask, fov, observer2 = (None if plane is None else mask_key(plane, size) for plane, _ in planes(sample))
        return mask, fov, observer2

    def decode(self, mask: Mask, size: Size, where: str, key: str | None = None) -> BoolMask:
        """What `masks.decode` makes of it, from the folder where it is there; raises as `masks.decode`."""
        if mask == ():
            return decode(mask, size, where)  # nothing is known faster than by looking it up
        key = key or mask_key(mask, size)
        kept = self._read(key, size)
        if kept is not None:
            self.counts.found += 1
            return kept.unpack()
        plane = decode(mask, size, where)
        self.counts.decoded += 1
        self._write(key, PackedMask.of(plane))
        return plane

    def load(self, sample: Sample, keys: Keys | None = None) -> Example:
        """What `load_example` makes of the sample; with `keys` its shapes are not even looked at."""
        bare = load_example(replace(sample, mask=None, fov=None, observer2=None))
        mask, fov, observer2 = (
            None if plane is None else self.decode(plane, bare.size, where, key)
            for (plane, where), key in zip(planes(sample), keys or (None, None, None), strict=True)
        )
        return Example(sample, bare.image, mask, fov, observer2)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _read(self, key: str, size: Size) -> PackedMask | None:
        """The entry; None when there is none, or one that is not whole."""
        try:
            content = self._path(key).read_bytes()
        except OSError:  # not there, or not readable: decoding says what is wrong, if anything is
            return None
        mask = _unpacked(content, size)
        if mask is None:
            self.counts.damaged += 1
            if self.counts.damaged == 1:
                log.warning("damaged entries in the mask cache %s are decoded anew, first %s", self.folder, key)
        return mask

    def _write(self, key: str, mask: PackedMask) -> None:
        if self._refused:
            return
        path = self._path(key)
        temporary = path.with_name(f".{key}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            temporary.write_bytes(_packed(mask))
            os.replace(temporary, path)
        except OSError as error:
            self._refused = True
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            log.warning(
                "the mask cache %s cannot be written (%s): masks are decoded each time; set data.cache to another "
                "folder, or to off",
                *(self.folder, error.strerror or error),
            )


def open_cache(config: DataConfig) -> MaskCache | None:
    """The cache that ``data.cache`` names: None for ``off``, by default ``masks`` in the user's cache folder."""
    if config.cache == "off":
        return None
    return MaskCache(config.cache.expanduser() if config.cache is not None else user_folder())


def user_folder() -> Path:
    """``masks`` in the user's cache folder."""
    return user_cache() / "masks"


def load_with(cache: MaskCache | None, sample: Sample) -> Example:
    """The sample with its pixels, by way of the cache where there is one; raises as `load_example`."""
    return load_example(sample) if cache is None else cache.load(sample)


def planes(sample: Sample) -> tuple[tuple[Mask | None, str], ...]:
    """Mask, fov and observer2, each with what messages about it begin with."""
    return (
        (sample.mask, sample.origin or sample.id),
        (sample.fov, f"{sample.id} fov"),
        (sample.observer2, f"{sample.id} observer2"),
    )


def mask_key(mask: Mask, size: Size) -> str:
    """SHA-256 (hexadecimal) of all that decides the pixels of `mask` in an image of `size` (H, W).

    Polygons and run lengths count by their numbers, a mask image by its bytes and the values that are foreground.
    Raises UserError for a mask image that cannot be read (as decoding it would).
    """
    digest = hashlib.sha256(repr((DECODER, _rasterisers(), size)).encode())
    for piece in _pieces(mask, size):
        digest.update(struct.pack("<Q", len(piece)))
        digest.update(piece)
    return digest.hexdigest()


def _pieces(mask: Mask, size: Size) -> Iterator[bytes]:
    if isinstance(mask, MaskFile):
        try:
            content = file_sha256(mask.path)
        except OSError:
            decode(mask, size, "")  # raises, and says why
            raise
        yield repr(("file", content, mask.foreground)).encode()
        return
    for shape in mask:
        if isinstance(shape, Polygons):
            yield repr(("polygons", shape.size, len(shape.parts))).encode()
            yield from (_numbers(part) for part in shape.parts)
        elif isinstance(shape.counts, bytes):
            yield repr(("run-length string", shape.size)).encode()
            yield shape.counts
        else:
            yield repr(("run lengths", shape.size, shape.counts)).encode()


def _numbers(part: Sequence[float]) -> bytes:
    return np.asarray(part, dtype="<f8").tobytes()


@lru_cache(maxsize=1)
def _rasterisers() -> tuple[str, str]:
    return version("pycocotools"), version("pillow")


def _packed(mask: PackedMask) -> bytes:
    body = _MAGIC + _SIDES.pack(*mask.size) + mask.bits.tobytes()
    return body + hashlib.sha256(body).digest()


def _unpacked(content: bytes, size: Size) -> PackedMask | None:
    """The mask of an entry; None unless it is whole and of `size`."""
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if len(body) != _HEAD + (size[0] * size[1] + 7) // 8 or hashlib.sha256(body).digest() != digest:
        return None
    if body[: len(_MAGIC)] != _MAGIC or _SIDES.unpack(body[len(_MAGIC) : _HEAD]) != size:
        return None
    return PackedMask(np.frombuffer(body, dtype=np.uint8, offset=_HEAD), size)
