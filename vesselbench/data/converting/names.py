"""What images and patients are called in a copy: their own names made safe for files, or keyed hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vesselbench.errors import UserError
from vesselbench.rundir import file_name
from vesselbench.types import Sample

DIGITS = 8
_SPECIAL = frozenset('<>:"\\|?*')
_DEFAULT_WORDS = frozenset({"blood", "vessel"})  # of the phrase that stands where none is set: they name nobody
_LONGEST = 200  # bytes of one part of a path


@dataclass(frozen=True)
class Names:
    """`stems`: image file -> its path below the copy's folder of images, without extension. `groups`: old -> new name.

    With `hidden` no byte of the originals but the pixels may reach the copy.
    """

    stems: Mapping[Path, str]
    groups: Mapping[str, str]
    hidden: bool = False


def own_names(samples: Sequence[Sample]) -> Names:
    """The names that the samples have; parts of a path that some file system refuses get a hash instead.

    Raises UserError when two images would have one name.
    """
    stems = {image: "/".join(_safe(part) for part in stem.split("/")) for image, stem in stems_of(samples).items()}
    _refuse_equal(stems)
    return Names(stems, {sample.group: sample.group for sample in samples})


def in_sets(names: Names, sets: Sequence[str]) -> Names:
    """The names for a format that divides its images into `sets`: those in none of them are put into the first.

    Raises UserError when two images would then have one name.
    """
    stems = {
        image: stem if stem.partition("/")[0] in sets and "/" in stem else f"{sets[0]}/{stem}"
        for image, stem in names.stems.items()
    }
    _refuse_equal(stems)
    return replace(names, stems=stems)


def hidden_names(samples: Sequence[Sample]) -> Names:
    """Keyed hashes instead of names; the key is random and kept nowhere, so they differ each time.

    Raises UserError when a target or a phrase contains the name of an image or a group: it would be in the copy.
    """
    key = secrets.token_bytes(32)
    stems = stems_of(samples)
    renamed = keyed("image", stems.values(), key)
    groups = keyed("group", (sample.group for sample in samples), key)
    _refuse_names_in_phrases(samples, stems.values(), groups)
    return Names({image: renamed[stem] for image, stem in stems.items()}, groups, hidden=True)


def keyed(kind: str, names: Iterable[str], key: bytes) -> dict[str, str]:
    """Name -> ``kind-<hash>``: BLAKE2b under `key`, as many digits (at least 8) as it takes to tell all names apart."""
    unique = list(dict.fromkeys(names))
    digits = DIGITS
    while True:
        renamed = {name: f"{kind}-{hashed(name, key)[:digits]}" for name in unique}
        if len(set(renamed.values())) == len(unique):
            return renamed
        digits += 4


def stems_of(samples: Sequence[Sample]) -> dict[Path, str]:
    """Image file -> what the ids of its samples share: the id, without the target where there are several.

    Raises UserError when the samples of one image do not share it, or two images do.
    """
    several = len({sample.target for sample in samples}) > 1
    stems: dict[Path, str] = {}
    owners: dict[str, Path] = {}
    for sample in samples:
        stem = sample.id.removesuffix(f":{sample.target}") if several else sample.id
        if stems.setdefault(sample.image, stem) != stem or owners.setdefault(stem, sample.image) != sample.image:
            reason = f"sample {sample.id!r}: its id does not belong to the image {sample.image} alone"
            raise UserError(reason, "convert one target at a time, by the options of the format")
    return stems


def _refuse_equal(stems: Mapping[Path, str]) -> None:
    owners: dict[str, Path] = {}
    for image, stem in stems.items():
        first = owners.setdefault(stem.casefold(), image)
        if first != image:
            reason = f"{first} and {image} would both be called {stem!r} in the copy (on some systems case is ignored)"
            raise UserError(reason, "rename one of them")


def _safe(part: str) -> str:
    odd = any(character in _SPECIAL or ord(character) < 32 for character in part)
    if not part or part[0] in ". " or part[-1] in ". " or odd or len(part.encode()) > _LONGEST:
        return file_name(part)
    return part


def hashed(name: str, key: bytes) -> str:
    """BLAKE2b of a name under `key`, hexadecimal."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=key).hexdigest()


def _refuse_names_in_phrases(samples: Sequence[Sample], stems: Iterable[str], groups: Iterable[str]) -> None:
    """Any word of a group and words of images' names of more than 3 letters; parts of a path wherever they stand."""
    phrases = {text.casefold() for sample in samples for text in (sample.target, sample.prompt)}
    spoken = {word for phrase in phrases for word in _words(phrase)} - _DEFAULT_WORDS
    named = {word for group in groups for word in _words(group)}
    named |= {word for stem in stems for word in _words(stem) if len(word) > 3}
    parts = {part for name in (*stems, *groups) for part in name.casefold().split("/") if len(part) > 3}
    told = (named & spoken) | {part for part in parts if any(part in phrase for phrase in phrases)}
    if told:
        reason = f"a target or prompt contains {min(told)!r}, of the name of an image or group"
        raise UserError(reason, "rename the target, or set data.options.prompts")


def _words(text: str) -> list[str]:
    """Runs of letters, in one case."""
    return re.findall(r"[^\W\d_]+", text.casefold())
