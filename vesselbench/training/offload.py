"""Keeping the optimizer's state and the weights' shares in the host's memory or in files."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import psutil
import torch

from vesselbench.config import TrainConfig
from vesselbench.errors import UserError

log = logging.getLogger(__name__)


def prepare_offload(deepspeed: Any, train: TrainConfig) -> None:
    """Build DeepSpeed's operator for asynchronous files and make this process's folder, where files are to hold state.

    Raises UserError when the operator cannot be built here and when the folder cannot be made.
    """
    if "nvme" not in (train.offload.optimizer, train.offload.parameters) or train.offload.folder is None:
        return
    builder = deepspeed.ops.op_builder.AsyncIOBuilder()
    if not builder.is_compatible(verbose=False):
        raise UserError(
            "train.offload to nvme: DeepSpeed's operator for asynchronous files cannot be built here",
            "install libaio with its headers (Debian: libaio-dev), or set train.offload.optimizer=cpu",
        )
    log.info("DeepSpeed's operator for asynchronous files is loaded; the first time it is compiled, for some minutes")
    try:
        builder.load(verbose=False)
    except (RuntimeError, OSError, CalledProcessError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"train.offload to nvme: DeepSpeed's operator for asynchronous files does not compile: {first}",
            "install g++ and ninja, or set train.offload.optimizer=cpu",
        ) from None
    _remove_leftovers(train.offload.folder)
    try:
        files_of(train.offload.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"train.offload.folder: cannot make {files_of(train.offload.folder)}: {error.strerror}",
            "name a folder on a local disk that you may write to",
        ) from None


def files_of(folder: Path) -> Path:
    """This process's own folder: DeepSpeed's names are the same in every training."""
    return folder / f"vesselbench-{socket.gethostname()}-{os.getpid()}"


def remove_files(train: TrainConfig) -> None:
    """After the training: what was kept in files is in the checkpoints."""
    if train.offload.folder is None or not files_of(train.offload.folder).exists():
        return
    try:
        shutil.rmtree(files_of(train.offload.folder))
    except OSError as error:
        log.warning("%s stays: %s", files_of(train.offload.folder), error.strerror)


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine left that were killed."""
    start = f"vesselbench-{socket.gethostname()}-"
    for left in folder.glob(f"{start}*"):
        number = left.name.removeprefix(start)
        if number.isdigit() and not psutil.pid_exists(int(number)):
            with suppress(OSError):  # another rank removes it, too
                shutil.rmtree(left)
                log.info("removed %s: its process is gone", left)


def offload_lines(train: TrainConfig, device: torch.device) -> list[str]:
    """What ``train.offload`` does here, in words."""
    wanted = {"optimizer state": train.offload.optimizer, "weights": train.offload.parameters}
    moved = [f"{what} to {store}" for what, store in wanted.items() if store != "none"]
    if not moved:
        return []
    if device.type == "cpu" and "nvme" not in wanted.values():
        return ["train.offload to cpu changes nothing: without a GPU everything is in the host's memory already"]
    lines = [f"offload: {', '.join(moved)}"]
    if train.offload.optimizer == "nvme":
        lines.append(
            "with the optimizer's state on nvme there is no norm by part, no update ratio, and no check that each "
            "trained parameter has a finite gradient and moves"
        )
    return lines
