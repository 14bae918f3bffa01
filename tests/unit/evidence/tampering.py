"""Changes to the files of a bundle, as somebody would make them who wants another result."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Change = Callable[[dict[str, bytes]], None]


def tampered(bundle: Path, to: Path, change: Change, rehash: bool) -> Path:
    """A copy of a bundle after `change` of its files by name; `rehash`: with the hashes made anew."""
    with zipfile.ZipFile(bundle) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}
    change(held)
    if rehash:
        manifest = json.loads(held["bundle.json"])
        manifest["files"] = {n: hashlib.sha256(b).hexdigest() for n, b in held.items() if n != "bundle.json"}
        rest = {key: value for key, value in manifest.items() if key != "sha256"}
        manifest["sha256"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
        held["bundle.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(to, "w") as written:
        for name, content in held.items():
            written.writestr(name, content)
    return to


def named(held: dict[str, bytes], start: str, end: str) -> str:
    """The first file whose path begins and ends so."""
    return next(name for name in sorted(held) if name.startswith(start) and name.endswith(end))


def flip_pixel(start: str, part: str) -> Change:
    """One pixel of the first picture whose path begins with `start` and holds `part`."""

    def change(held: dict[str, bytes]) -> None:
        name = next(name for name in sorted(held) if name.startswith(start) and part in name)
        pixels = np.asarray(Image.open(io.BytesIO(held[name]))).copy()
        pixels[20, 30] = ~pixels[20, 30]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        held[name] = buffer.getvalue()

    return change


def change_json(start: str, end: str, edit: Callable[[dict], None]) -> Change:
    """The object of a JSON file, or of the first line of a .jsonl."""

    def change(held: dict[str, bytes]) -> None:
        name = named(held, start, end)
        lines = held[name].decode().splitlines() if end.endswith("jsonl") else [held[name].decode()]
        first = json.loads(lines[0])
        edit(first)
        held[name] = "\n".join([json.dumps(first), *lines[1:]]).encode()

    return change
