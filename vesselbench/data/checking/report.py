"""The findings of a check as one self-contained HTML page."""

from __future__ import annotations

import base64
import time
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vesselbench.data.checking.check import Check
from vesselbench.data.checking.pictures import FAULTY, MASK, TWICE, Pictures
from vesselbench.data.codes import CODES
from vesselbench.data.findings import Finding, by_code
from vesselbench.errors import UserError
from vesselbench.rundir import write_text

_HEAD, _GENERATOR = 2048, b'<meta name="generator" content="vesselbench data check">'
PICTURED = {"error": 96, "warning": 24, "info": 24}
"""Findings of one code that are shown with a picture, spread over all of them; the rest is listed."""


def write_report(check: Check, path: Path, title: str) -> None:
    """Write the page to `path`; UserError when it cannot be written, and as `refuse_foreign`.

    Pictures show patients' images: the page is as confidential as the data set.
    """
    refuse_foreign(path)
    environment = Environment(
        loader=PackageLoader("vesselbench.data.checking", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = Pictures.of(check.root, check.samples)
    counts = Counter(finding.severity for finding in check.findings)
    view = {
        "title": title,
        "summary": check.summary(),
        "counts": {name: counts[name] for name in ("error", "warning", "info")},
        "groups": [_group(code, members, pictures) for code, members in by_code(check.findings)],
        "colours": {
            "mask": _hex(MASK),
            "twice": _hex(TWICE),
            "faulty": _hex(FAULTY),
        },
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }
    try:
        write_text(path, environment.get_template("report.html").render(view))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", "name another file") from error


def refuse_foreign(path: Path) -> None:
    """UserError unless `path` is called .html or .htm and is absent or a page that `write_report` wrote."""
    another = "name another file, for example findings.html"
    if path.is_dir():
        raise UserError(f"{path} is a folder", another)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path} is not called .html", another)
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}", another) from error
    if not head.startswith(b"<!DOCTYPE html") or _GENERATOR not in head:
        raise UserError(f"{path} exists already and is no page of findings", another)


def _group(code: str, members: list[Finding], pictures: Pictures) -> dict[str, Any]:
    """One code: what it means, its findings, and pictures of some (an image once, unless its places differ)."""
    tiles: list[tuple[Finding, str]] = []
    drawn: set[tuple[str, str]] = set()
    most = PICTURED[members[0].severity]
    for finding in members[:: max(1, len(members) // most)]:
        key = (finding.sample, "" if code == "overlapping-polygons" else finding.index)
        if len(tiles) == most or key in drawn:
            continue
        drawn.add(key)
        jpeg = pictures.draw(finding)
        if jpeg is not None:
            tiles.append((finding, f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"))
    return {
        "code": code,
        "severity": members[0].severity,
        "meaning": CODES[code].meaning,
        "cures": list(dict.fromkeys(finding.cure for finding in members))[:5],
        "members": members,
        "tiles": tiles,
    }


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
