"""One batch of fuzzing, in a process of its own: ``python worker.py KIND EXAMPLES FOLDER``.

Before each case it is written to FOLDER/case.json, so that what takes the interpreter down is known; at the end one
line of JSON tells the number of cases, the slowest one and the growth of memory.
"""

from __future__ import annotations

import faulthandler
import io
import json
import logging
import resource
import shutil
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import mutations

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import Check, check_data
from vesselbench.data.checking.report import write_report
from vesselbench.data.converting.convert import convert_data
from vesselbench.data.fixing.fix import fix_data
from vesselbench.data.formats.fields import phrase_key
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import load_catalogue

BYTES = 1 << 30
HANGING = 60.0  # seconds by the clock, on however loaded a machine; the limit of 10 is one of processor time
CATALOGUE = load_catalogue()
FORMS = ("coco", "sa2va", "labelme", "pairs")
FOUND: dict[str, Any] = {"cases": 0, "slowest": 0.0, "codes": set(), "usable": 0, "mended": 0, "converted": 0}


def examine(root: Path, config: DataConfig) -> None:
    """All that a user may do with a broken data set; only a UserError may leave any of it."""
    faulthandler.dump_traceback_later(HANGING, exit=True)
    started = time.process_time()
    copy = root.with_name("mended")
    for left in [*root.parent.glob("mended*"), *root.parent.glob("converted*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    try:
        check = check_data(config, CATALOGUE)
        json.dumps([asdict(finding) for finding in check.findings], allow_nan=False)
        FOUND["codes"] |= {finding.code for finding in check.findings}
        FOUND["usable"] += bool(check.samples)
        write_report(check, root.with_name("report.html"), "fuzz")
        before, bytes_before = pixels(check), contents(root)
        try:
            fixed = fix_data(config, check, CATALOGUE, copy)
        finally:
            assert contents(root) == bytes_before, "the original was changed"
        left = check_data(config.model_copy(update={"root": copy}), CATALOGUE)
        assert not left.failed, left.findings
        after = pixels(left)
        for image, phrase in before:
            assert after.get((image, phrase)) or not before[image, phrase] or image in fixed.left_out, (image, phrase)
        FOUND["mended"] += 1
    except UserError:
        pass
    for source in (config, config.model_copy(update={"root": copy})):
        try:
            form = FORMS[FOUND["cases"] % len(FORMS)]
            convert_data(source, CATALOGUE, root.with_name(f"converted-{source is config}"), form)
            FOUND["converted"] += 1
        except UserError:
            pass
    try:
        for sample in read_samples(config, CATALOGUE):
            load_example(sample)
    except UserError:
        pass
    faulthandler.cancel_dump_traceback_later()
    FOUND["cases"] += 1
    if time.process_time() - started > FOUND["slowest"]:
        FOUND["slowest"] = time.process_time() - started
        shutil.copyfile(root.parent / "case.json", root.parent / "slowest.json")
    grown = peak() - FOUND["before"]
    assert grown < BYTES, f"memory grew by {grown / 1e6:.0f} MB"


def pixels(check: Check) -> dict[tuple[str, str], bool]:
    """(image, phrase) -> whether the mask has a pixel."""
    masks = [(sample, load_example(sample).mask) for sample in check.samples]
    return {
        (sample.image.relative_to(check.root).as_posix(), phrase_key(sample.prompt)): mask is not None and mask.any()
        for sample, mask in masks
    }


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def annotations(kind: str, root: Path, examples: int) -> None:
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (mutations.SIDE, mutations.SIDE), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"im{number}.png")
    options = {
        "coco": {"annotations": "a.json"},
        "sa2va": {"annotations": "a.json", "images": "."},
        "labelme": {"line_width": 3},
    }[kind]
    name = "im0.json" if kind == "labelme" else "a.json"
    if kind == "labelme":
        for number in (1, 2):
            (root / f"im{number}.json").write_text(json.dumps(mutations.labelme()))
    document = mutations.DOCUMENTS[kind]()

    def examine_file(content: bytes) -> None:
        (root.parent / "case.json").write_bytes(content)
        (root / name).write_bytes(content)
        examine(root, DataConfig(format=kind, root=root, options=options))

    @given(st.lists(mutations.steps, min_size=1, max_size=4), mutations.texts)
    @chosen(examples)
    def run(changes: list[Any], text: Any) -> None:
        examine_file(mutations.written(mutations.mutated(document, changes), text))

    for killer in mutations.killers(kind):
        examine_file(mutations.written(killer, None))
    run()


def images(root: Path, examples: int) -> None:
    files = {name: encoded(*how) for name, how in FORMATS.items()}
    for folder in ("images", "masks"):
        (root / folder).mkdir()

    @given(st.sampled_from(sorted(files)), st.booleans(), flips, cuts)
    @chosen(examples)
    def run(name: str, as_mask: bool, changes: list[tuple[int, int]], cut: int | None) -> None:
        broken = bytearray(files[name])
        for place, value in changes:
            broken[place % len(broken)] = value
        content = bytes(broken if cut is None else broken[: cut % (len(broken) + 1)])
        for path in [*root.glob("images/*"), *root.glob("masks/*")]:
            path.unlink()
        (root.parent / "case.json").write_bytes(content)
        suffix, whole = Path(name).suffix, encoded("L", "PNG")
        (root / "images" / f"a{'.png' if as_mask else suffix}").write_bytes(whole if as_mask else content)
        (root / "masks" / f"a{suffix if as_mask else '.png'}").write_bytes(content if as_mask else whole)
        examine(root, DataConfig(format="pairs", root=root, options={"foreground": [255]}))

    run()


FORMATS = {
    "grey.png": ("L", "PNG"),
    "deep.png": ("I;16", "PNG"),
    "palette.png": ("P", "PNG"),
    "alpha.png": ("RGBA", "PNG"),
    "bits.png": ("1", "PNG"),
    "colour.jpg": ("RGB", "JPEG"),
    "turned.jpg": ("RGB", "JPEG", 6),
    "colour.tif": ("RGB", "TIFF"),
    "deep.tif": ("I;16", "TIFF"),
    "float.tif": ("F", "TIFF"),
    "colour.bmp": ("RGB", "BMP"),
    "palette.gif": ("P", "GIF"),
    "colour.webp": ("RGB", "WEBP"),
}
cuts = st.none() | st.none() | st.none() | st.integers(0, 5000)
flips = st.lists(st.tuples(st.integers(0, 200) | st.integers(0, 10_000), st.integers(0, 255)), max_size=3)


def encoded(mode: str, kind: str, orientation: int = 1) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (mutations.SIDE, mutations.SIDE), dtype=np.uint8)
    picture = Image.fromarray(noise.astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(noise).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"exif": exif} if orientation > 1 else {}))
    return buffer.getvalue()


def chosen(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        phases=(Phase.generate,),  # the case that fails is written down; shrinking would take the suite's minutes
        suppress_health_check=list(HealthCheck),
    )


def peak() -> int:
    """Bytes of the process at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(kind: str, examples: str, folder: str) -> None:
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # what asks for more fails here, not the machine
    logging.disable()
    root = Path(folder) / "data"
    root.mkdir()
    FOUND["before"] = peak()
    images(root, int(examples)) if kind == "images" else annotations(kind, root, int(examples))
    FOUND["grown_mb"] = round((peak() - FOUND.pop("before")) / 1e6)
    summary = {**FOUND, "codes": sorted(FOUND["codes"]), "slowest": round(FOUND["slowest"], 2)}
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
