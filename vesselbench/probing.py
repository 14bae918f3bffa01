"""A probe from a recipe to a calibrated plan: ranks are started, measure, and their seconds replace the roofline's."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.jobs import LaunchError
from vesselbench.launch import Job, run_processes
from vesselbench.planner import Plan, recalibrated
from vesselbench.planning.probe import Probed, calibrate, probe
from vesselbench.plugins import Catalogue
from vesselbench.rundir import write_text


def calibrated(plan: Plan, recipe: Recipe) -> Plan:
    """The plan with seconds by a probe on this machine, in `plan.work.world` processes of their own.

    Raises UserError for a device that is not this machine's, and LaunchError where a process failed (it has said why).
    """
    import torch

    if plan.device.kind != ("cuda" if torch.cuda.is_available() and recipe.train.device != "cpu" else "cpu"):
        raise UserError(
            f"--probe measures this machine, which is no {plan.device.name}", "leave out --probe, or --device"
        )
    with tempfile.TemporaryDirectory() as folder:
        job, result = Job(Path(folder), recipe), Path(folder) / "probed.json"
        words = ["plan", str(job.recipe_file), "--probe-to", str(result), "--probe-most", str(_most(plan))]
        code = run_processes(plan.work.world, words, job)
        if code:
            raise LaunchError(code)
        found = [Probed(**row) for row in json.loads(result.read_text(encoding="utf-8"))]
    return recalibrated(plan, calibrate(found))


def _most(plan: Plan) -> int:
    """The largest micro-batch that fits with the recipe's other settings, at least its own."""
    fitting = [
        one.setting.micro_batch for one in plan.ranked if one.fits and one.setting.words == plan.own.setting.words
    ]
    return max([plan.own.setting.micro_batch, *fitting])


def write_probe(recipe: Recipe, catalogue: Catalogue, to: Path, most: int) -> None:
    """In one of these processes: measure; the first rank writes."""
    from vesselbench.jobs import is_first

    found = probe(recipe, catalogue, most)
    if is_first():
        write_text(to, json.dumps([asdict(one) for one in found]))
