"""What all pages of results share: the template engine, text for Markdown, pictures inside the file.

A page extends ``base.html`` (style, script, content policy) and imports ``macros.html`` (tables, figures).
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")
MEDIA = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""First bytes of a file -> its type."""


def templates() -> Environment:
    """Templates of this folder; HTML is escaped, a name that is not given is an error.

    Filters: `data_uri` (bytes of a PNG, JPEG or WebP), `plain` (text that Markdown prints as it is).
    """
    made = Environment(
        loader=PackageLoader("vesselbench.report", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["data_uri"] = data_uri
    made.filters["plain"] = escape_markdown
    made.globals["read"] = read_part
    made.globals["script_hash"] = script_hash
    return made


def read_part(name: str) -> str:
    """A style sheet or script of this folder, to be written into a page."""
    return (files("vesselbench.report") / name).read_text(encoding="utf-8")


def script_hash() -> str:
    """The source that the content policy allows: this script and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(read_part('page.js').encode()).digest()).decode()}"


def data_uri(picture: bytes) -> str:
    """A picture as an address of its own content; ValueError when it is no PNG, JPEG or WebP."""
    for start, kind in MEDIA.items():
        if picture.startswith(start):
            return f"data:{kind};base64,{base64.b64encode(picture).decode()}"
    raise ValueError(f"no PNG, JPEG or WebP: it starts with {picture[:4]!r}")


def escape_markdown(text: str) -> str:
    """`text` so that Markdown prints it as it is, also inside a table cell."""
    return MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
