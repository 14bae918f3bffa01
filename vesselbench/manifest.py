"""What a checkpoint folder holds, by its manifest: whether it is sound, and what of it a resume needs (no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vesselbench.errors import UserError
from vesselbench.rundir import RunDir, file_sha256, read_json, write_json

MANIFEST = "meta.json"
WEIGHTS = "weights.safetensors"
STATE_VALUES = "state.json"
NO_STATE = "it holds no optimizer state"


def state_file(name: str) -> str:
    """The file of the tensors of one item of the state."""
    return f"state-{name}.safetensors"


def is_state(name: str) -> bool:
    """Whether a file of a checkpoint is needed to go on with the training only, not to use the weights."""
    return name == STATE_VALUES or name.startswith("state-")


def saved_steps(run: RunDir) -> list[int]:
    """Steps with a checkpoint, ascending."""
    if not run.checkpoints.is_dir():
        return []
    return sorted(int(path.name) for path in run.checkpoints.iterdir() if path.name.isdigit())


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint; UserError when there is none or it lacks something."""
    manifest = read_json(folder / MANIFEST)
    files: Any = manifest.get("files") if isinstance(manifest, dict) else None
    entries = files.values() if isinstance(files, dict) and WEIGHTS in files else [None]
    if not all(isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in entries):
        raise UserError(
            f"{folder / MANIFEST} is no manifest of a checkpoint", "it was damaged, or is of another version"
        )
    return dict(manifest)


def fault_of(folder: Path) -> str | None:
    """Why a checkpoint cannot be resumed from, in words; None when every file is what the manifest says."""
    try:
        manifest = read_manifest(folder)
    except UserError as error:
        return error.message
    if STATE_VALUES not in manifest["files"]:
        return NO_STATE
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, {entry['bytes']} were written"
        if file_sha256(path) != entry["sha256"]:
            return f"{name} is not what was written (SHA-256)"
    return None


def state_bytes(folder: Path) -> int:
    """Bytes of what only a resume needs."""
    return sum(path.stat().st_size for path in folder.iterdir() if is_state(path.name))


def drop_state(folder: Path) -> int:
    """Remove what only a resume needs, and say so in the manifest first; returns the bytes freed."""
    freed = state_bytes(folder)
    if freed:
        manifest = read_manifest(folder)
        files = {name: entry for name, entry in manifest["files"].items() if not is_state(name)}
        total = sum(entry["bytes"] for entry in files.values())
        write_json(folder / MANIFEST, {**manifest, "files": files, "bytes": total})
        for path in [path for path in folder.iterdir() if is_state(path.name)]:
            path.unlink()
    return freed
