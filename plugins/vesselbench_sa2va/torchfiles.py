"""PyTorch's own files (.pt, .pth): the table of tensors in one, read without running anything that is in it.

A checkpoint of the official trainer (mmengine) also holds the history of its losses, as objects of a class that is not
installed here, with numpy arrays. They are not needed: all names in `UNREAD` stand for one class that keeps nothing.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from vesselbench import UserError

FLOATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
"""First bytes of a file of torch.save, since version 1.6 and before it."""
REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+)|Trying to load unsupported GLOBAL (\S+)")
DETAIL = re.compile(r"WeightsUnpickler error: ([^\n\x1b]+)")


class Unread:
    """Stands for what is not needed: it takes any arguments and any state, and keeps and does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


UNREAD = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # of HistoryBuffer: how its statistics are named in a pickle of protocol 2
    *(
        f"numpy.{core}.multiarray.{name}"  # core: numpy 1; _core: numpy 2
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    "numpy.ndarray",
    "numpy.dtype",
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The table of tensors in a file, mapped into memory; it may lie under ``model`` or ``state_dict``.

    Raises UserError when the file is empty, of an old format or damaged, and when it holds code, no table or other
    than floating numbers.
    """
    _refuse_other_format(path)
    held = _unwrapped(_load(path))
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise UserError(f"{path} holds no table of tensors", "save a state_dict")
    nameless = [key for key in held if not isinstance(key, str)]
    if nameless:
        raise UserError(f"{path}: key {nameless[0]!r} is no text", "save a state_dict: tensors by name")
    for key, tensor in held.items():
        if tensor.dtype not in FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{path}: key {key!r} is of type {kind}", "weights must be float32, bfloat16 or float16")
    tensors: dict[str, Tensor] = held
    return tensors


def _refuse_other_format(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from None
    if not start:
        raise UserError(f"{path} is empty", "copy it again")
    if start[:1] == PICKLE:
        raise UserError(
            f"{path} is of an old torch format, from before version 1.6",
            "save it again with torch.save, in the format it has by default",
        )
    if start != ZIP:
        raise UserError(f"{path} is no file of torch.save", "copy it again; it is damaged or of another kind")


def _load(path: Path) -> Any:
    stand_ins: list[Any] = [(Unread, name) for name in UNREAD]
    try:
        with safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        text = str(error).strip()
        refused, detail = REFUSED.search(text), DETAIL.search(text)
        if refused:
            raise UserError(
                f"{path} cannot be read as plain tensors: it holds {refused[1] or refused[2]}",
                "save its state_dict alone; objects and code in a file are never loaded",
            ) from None
        cause = detail[1] if detail else text.partition("\n")[0].partition(". ")[0]
        raise UserError(
            f"{path} cannot be read as plain tensors: {cause}",
            "copy it again if it was cut short; if it holds other objects, save its state_dict alone",
        ) from None


def _unwrapped(held: Any) -> Any:
    for wrapper in ("state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
            held = held[wrapper]
    return held
