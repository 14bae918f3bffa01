"""The built-in data set: real files, known vessels, too hard for a threshold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from vesselbench.config import DataConfig
from vesselbench.data.read import load_example, read_samples
from vesselbench.data.synthetic.phantom import Phantom
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Polygons, Rle

SMALL = {"images": 8, "size": 64, "max_width": 6.0}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def document(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "annotations.json").read_text())


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_a_global_otsu_threshold_scores_below_one_half_on_the_defaults(cache: Path) -> None:
    dark, bright = [], []
    for sample in Phantom().read(cache, {}):
        example = load_example(sample)
        grey = example.image[..., 0]
        below = grey <= threshold_otsu(grey)
        dark.append(dice(below, example.mask))
        bright.append(dice(~below, example.mask))
    assert len(dark) == 120
    assert np.mean(dark) < 0.5
    assert np.mean(bright) < 0.5


def test_vessels_are_darker_than_what_lies_beside_them(cache: Path) -> None:
    darker = []
    for sample in Phantom().read(cache, SMALL):
        example = load_example(sample)
        grey = example.image[..., 0].astype(float)
        darker.append(grey[example.mask].mean() < grey[~example.mask].mean())
    assert np.mean(darker) >= 0.75


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (contents(Phantom().folder(tmp_path / name, SMALL)) for name in ("one", "two"))
    assert len(first) == 9
    assert first == second


def test_another_seed_gives_another_folder_and_other_pixels(cache: Path) -> None:
    one, two = Phantom().folder(cache, SMALL), Phantom().folder(cache, {**SMALL, "seed": 1})
    assert one != two
    assert contents(one).keys() == contents(two).keys()
    assert contents(one)["images/patient000_0.png"] != contents(two)["images/patient000_0.png"]


def test_a_folder_that_is_there_is_not_drawn_again(cache: Path) -> None:
    folder = Phantom().folder(cache, SMALL)
    before = (folder / "annotations.json").stat().st_mtime_ns
    assert Phantom().folder(cache, SMALL) == folder
    assert (folder / "annotations.json").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_all_three_annotation_kinds_occur_and_decode(cache: Path) -> None:
    kinds = set()
    for sample in Phantom().read(cache, SMALL):
        assert isinstance(sample.mask, tuple)
        for shape in sample.mask:
            kinds.add(Polygons if isinstance(shape, Polygons) else type(shape.counts))
            assert isinstance(shape, Polygons | Rle)
        assert load_example(sample).mask.any()
    assert kinds == {Polygons, bytes, tuple}


def test_widths_and_crossings_are_recorded(cache: Path) -> None:
    recorded = document(Phantom().folder(cache, {}))
    crossings = [image["crossings"] for image in recorded["images"]]
    assert 0.2 < np.mean([count > 0 for count in crossings]) < 0.9
    widths = [width for annotation in recorded["annotations"] for width in annotation["attributes"]["widths"]]
    assert min(widths) >= 2.2
    assert max(widths) <= 8.0


def test_images_of_a_patient_share_a_group(cache: Path, catalogue: Catalogue) -> None:
    samples = read_samples(DataConfig(root=cache, options=SMALL), catalogue)
    assert [sample.group for sample in samples] == ["patient000"] * 4 + ["patient001"] * 4
    assert {(sample.target, sample.prompt) for sample in samples} == {("vessel", "blood vessel")}
    assert samples[0].id == "patient000_0"


def test_without_a_root_it_lies_in_the_cache_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    samples = read_samples(DataConfig(options=SMALL), catalogue)
    assert samples[0].image.parents[2] == tmp_path / "vesselbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    samples = read_samples(DataConfig(options=SMALL), catalogue)
    assert samples[0].image.parents[2] == tmp_path / "home" / ".cache" / "vesselbench"


def test_an_image_that_was_deleted_is_noticed(tmp_path: Path) -> None:
    folder = Phantom().folder(tmp_path, SMALL)
    (folder / "images" / "patient000_0.png").unlink()
    with pytest.raises(UserError, match="7 of 8 images are there"):
        Phantom().folder(tmp_path, SMALL)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write below"):
        Phantom().folder(tmp_path / "file", SMALL)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        Phantom().folder(tmp_path, SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_width": 5.0}, "min_width must be less"),
        ({"trees": [2, 1]}, "trees must be two rising numbers"),
        ({"contrast": [0.1, 1.5]}, "contrast must be two rising shares"),
        ({"images": 2}, "images: Input should be greater than or equal to 3"),
        ({"sise": 64}, "unknown key 'data.options.sise'"),
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        Phantom().folder(tmp_path, options)
    assert words in caught.value.message


def test_reading_a_drawn_phantom_imports_neither_torch_nor_scipy(cache: Path) -> None:
    Phantom().folder(cache, SMALL)
    script = (
        "import sys; from pathlib import Path; from vesselbench.data.synthetic.phantom import Phantom\n"
        f"samples = list(Phantom().read(Path({str(cache)!r}), {SMALL!r}))\n"
        "print(len(samples), sorted({'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "8 []"
