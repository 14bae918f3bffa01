"""A data set written anew in another format, and what that cost."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vesselbench.config import DataConfig
from vesselbench.data.converting.arcade import arcade_image, write_arcade
from vesselbench.data.converting.images import place_image
from vesselbench.data.converting.loss import Losses, measure_losses
from vesselbench.data.converting.names import Names, in_sets, own_names
from vesselbench.data.converting.pairs import write_pairs
from vesselbench.data.converting.scene import IMAGES, Scenes, WriteOptions, scenes_of
from vesselbench.data.converting.volumes import REASON as VOLUME_REASON
from vesselbench.data.converting.volumes import write_dicom, write_nifti
from vesselbench.data.converting.writers import write_coco, write_labelme, write_sa2va
from vesselbench.data.findings import collecting
from vesselbench.data.folders import beside, free_folder, whole_folder
from vesselbench.data.formats.arcade import SETS
from vesselbench.data.formats.fields import phrase_key
from vesselbench.data.read import open_source, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue, nearest
from vesselbench.rundir import write_json
from vesselbench.types import Sample

Progress = Callable[[int, int], None]
"""Told how many steps of how many are done: an image written, and a mask compared, is one each."""
Writer = Callable[[Path, Scenes, WriteOptions], dict[str, Any]]
WRITERS: dict[str, Writer] = {
    "arcade": write_arcade,
    "coco": write_coco,
    "dicom": write_dicom,
    "labelme": write_labelme,
    "nifti": write_nifti,
    "pairs": write_pairs,
    "sa2va": write_sa2va,
}
_VOLUMES = {"dicom": "slices", "nifti": "slices"}
"""What holds no image files -> the format that reads it."""
_SCRATCH = ".slices"
_GROUPS = "groups.csv"
_IN_THE_FILE = "group_key"


@dataclass(frozen=True)
class Conversion:
    """A finished copy. `options`: under which `form` reads it. `redrawn`: image of the copy -> why it was not copied.
    `grouped`: whether the source says which images belong together; then so does the copy.

    `renamed`: sample of the source -> of the copy, where they differ; empty when names are hidden.
    """

    folder: Path
    form: str
    options: dict[str, Any]
    has_group_file: bool
    grouped: bool
    images: int
    redrawn: dict[str, str]
    renamed: dict[str, str]
    losses: Losses

    def words(self) -> list[str]:
        """What to write on the command line to use the copy."""
        said = [f"data.format={self.form}", f"data.root={self.folder}", f"data.options={json.dumps(self.options)}"]
        return said + ([f"data.groups={self.folder / _GROUPS}"] if self.has_group_file else [])

    def record(self) -> dict[str, Any]:
        """The same as plain values, for DIR.convert.json; masks by new id: the old order tells names."""
        return {
            "format": self.form,
            "options": self.options,
            "groups": _GROUPS if self.has_group_file else None,
            "copied": self.images - len(self.redrawn),
            "redrawn": self.redrawn,
            "renamed": self.renamed,
            "not_held": self.losses.unheld,
            "masks": [asdict(loss) for loss in sorted(self.losses.masks, key=lambda loss: loss.id)],
        }


def convert_data(
    config: DataConfig,
    catalogue: Catalogue,
    folder: Path,
    form: str,
    options: WriteOptions | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write what `config` names into `folder`, new or empty, as `form`, a name in `WRITERS`.

    The copy is complete or absent; what it cost lies beside it in ``FOLDER.convert.json``. Raises UserError for all
    that `read_samples` and decoding refuse, for a folder that is taken or lies within the source, and for what `form`
    cannot say (see the writers).
    """
    source = open_source(config, catalogue).root
    folder = free_folder(folder, [source] + ([config.root] if config.root else []), [record_file(folder)])
    samples = read_samples(config, catalogue)
    done = write_copy(samples, own_names(samples), folder, form, options or WriteOptions(), catalogue, progress)
    write_json(record_file(folder), done.record())
    return done


def write_copy(
    samples: Sequence[Sample],
    names: Names,
    folder: Path,
    form: str,
    options: WriteOptions,
    catalogue: Catalogue,
    progress: Progress | None = None,
) -> Conversion:
    """Write the samples under `names` into a temporary folder, read and compare them, and rename it to `folder`.

    Raises UserError as `convert_data`.
    """
    if form not in WRITERS:
        raise UserError(f"{form!r} cannot be written", nearest(form, list(WRITERS)))
    if options.masks != "auto" and form not in ("arcade", "coco"):
        raise UserError(f"write.masks={options.masks} is for coco and arcade, not for {form}", "leave it out")
    names = names_in(form, names)
    scenes = scenes_of(samples, names)
    steps = len(scenes.every) + len(samples)
    tell = progress or (lambda _done, _total: None)
    with whole_folder(folder) as draft:
        for number, scene in enumerate(scenes.every, 1):
            file = arcade_image(scene, scenes) if form == "arcade" else f"{IMAGES}/{scene.name}"
            if form not in _VOLUMES:
                place_image(scene.image, draft / file, scene.redraw is not None)
            tell(number, steps)
        reading = WRITERS[form](draft, scenes, options)
        by_file = scenes.grouped and _IN_THE_FILE not in reading and form != "dicom"
        if by_file:
            _write_groups(draft / _GROUPS, scenes, form)
        scratch = {"cache": draft / _SCRATCH} if form in _VOLUMES else {}
        groups = draft / _GROUPS if by_file else None
        config = DataConfig(format=_VOLUMES.get(form, form), root=draft, options=reading | scratch, groups=groups)
        copies = _read_again(config, catalogue, scenes.grouped)
        reasons = {scene: VOLUME_REASON if form in _VOLUMES else scene.redraw for scene in scenes.every}
        redrawn = {scene.image for scene, reason in reasons.items() if reason is not None}
        compared = partial(_compared, tell, len(scenes.every), steps)
        losses = measure_losses(samples, copies, names, scenes.grouped, redrawn, compared)
        shutil.rmtree(draft / _SCRATCH, ignore_errors=True)
    return Conversion(
        folder=folder,
        form=config.format,
        options=reading,
        has_group_file=by_file,
        grouped=scenes.grouped,
        images=len(scenes.every),
        redrawn={scene.name: reason for scene, reason in reasons.items() if reason is not None},
        renamed={} if names.hidden else _renamed(samples, losses),
        losses=losses,
    )


def _compared(tell: Progress, images: int, steps: int, done: int) -> None:
    tell(images + done, steps)


def names_in(form: str, names: Names) -> Names:
    """The names as `form` needs them: ARCADE puts every image into a set."""
    return in_sets(names, SETS) if form == "arcade" else names


def record_file(folder: Path) -> Path:
    """Where the record of a copy lies."""
    return beside(folder, "convert.json")


def _read_again(config: DataConfig, catalogue: Catalogue, grouped: bool) -> list[Sample]:
    """The samples of a copy, with groups where it has any. What is odd about them was said of the source; an error is
    raised."""
    samples: list[Sample] = []
    with collecting() as findings:
        samples += read_samples(config, catalogue) if grouped else open_source(config, catalogue).read()
    for finding in findings:
        if finding.severity == "error":
            raise UserError(f"the copy cannot be read: {finding.where}: {finding.reason}", finding.cure)
    return samples


def _write_groups(path: Path, scenes: Scenes, form: str) -> None:
    """A row for each sample: id and group, as ``data.groups`` reads them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "group"))
    for scene in scenes.every:
        for sample in scene.samples:
            target = phrase_key(sample.prompt) if form == "sa2va" else sample.target
            writer.writerow((scene.stem + (f":{target}" if len(scenes.targets) > 1 else ""), scene.group))
    path.write_text(text.getvalue(), encoding="utf-8")


def _renamed(samples: Sequence[Sample], losses: Losses) -> dict[str, str]:
    pairs = zip(samples, losses.masks, strict=True)
    return {sample.id: loss.id for sample, loss in pairs if sample.id != loss.id}
