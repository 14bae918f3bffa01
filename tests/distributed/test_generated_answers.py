"""A model that writes its answers itself, trained and scored through the command line on two ranks."""

from __future__ import annotations

import json

SMALL = ["data.options.images=12", "data.options.size=48", "train.steps=2", "train.batch_size=2"]


def test_generated_answers_keep_the_ranks_in_step_and_are_counted(command, tmp_path):
    words = [
        "model.answer=generated",
        "model.views=1",
        "model.answer_tokens=6",
        "train.zero_stage=3",
        "train.validate_every=1",
    ]
    done = command("train", "sa2va", *SMALL, *words, "--nproc", "2")
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("runs/sa2va/*")
    scored = command("evaluate", str(run))
    assert scored.returncode == 0, scored.stderr
    summary = json.loads((run / "eval/test/summary.json").read_text())
    assert sum(summary["statuses"].values()) == summary["images"]
    unsure = {name: count for name, count in summary["statuses"].items() if name != "ok"}
    assert unsure, "after two steps the model cannot have learned the answer"
    assert "answers: " + ", ".join(f"{name} {count}" for name, count in summary["statuses"].items()) in scored.stdout
