"""The report of a run folder: finished, running, failed, resumed, cut off; and its advice is made of real commands."""

from __future__ import annotations

import json
import shlex

import pytest
import typer

from vesselbench.cli import app
from vesselbench.errors import UserError
from vesselbench.plugins import load_catalogue
from vesselbench.report.training.advice import next_steps
from vesselbench.report.training.history import read_run
from vesselbench.report.training.judgement import judge
from vesselbench.report.training.make import report_run
from vesselbench.report.training.tables import loss_table
from vesselbench.rundir import RunDir, write_bytes
from vesselbench.watch import Silent

SPLIT = {"data": 1.0, "forward": 2.0, "backward": 4.0, "optimizer": 1.0, "validation": 2.0}


@pytest.fixture
def run(write_run) -> RunDir:
    """200 steps, a line every 20, eight validations; the best is in the middle."""
    made = write_run(
        "unet",
        {"a": 0.8, "b": 0.7},
        config={"data": {"format": "phantom", "options": {"images": 30, "size": 32}}},
        summary={"images": 2},
        best_step=100,
        best_score=0.82,
        time_split=SPLIT,
        energy={"cpu_joules": 3.6e6},
        train_seconds=8.0,
    )
    log(made, range(20, 201, 20))
    for step in range(25, 201, 25):
        score = 0.82 - 0.0006 * abs(step - 100)
        line = {"step": step, "threshold": 0.5, "means": {"dice": score, "iou": score / 2}, "better": "higher"}
        made.log_validation(line)
    for step in (100, 200):
        write_bytes(made.checkpoints / str(step) / "weights.safetensors", b"w" * 2048)
    return made


def log(run: RunDir, steps) -> None:
    for step in steps:
        loss = 2.0 * 0.99**step
        run.log_step(
            {"step": step, "loss": loss, "loss_ce": loss / 2, "loss_dice": loss / 2, "lr": 1e-3, "grad_norm": 2.0,
             "seconds": 0.04, "data_seconds": 0.01, "peak_memory_bytes": 2**30}
        )  # fmt: skip


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


def page_of(run: RunDir, catalogue, **options) -> tuple[str, str]:
    _, page = report_run(run, None, catalogue, Silent(), **options)
    assert page == run.path / "report" / "report.html"
    return page.read_text(), (page.parent / "report.md").read_text()


def test_a_finished_run_says_how_much_where_the_time_went_and_what_was_kept(run, catalogue):
    html, markdown = page_of(run, catalogue)
    for text in (
        "200 optimizer steps of 4 samples = 800 samples",
        "Best validation dice: 0.8200 after step 100.",
        "Likely: dice 0.8200 at step 100, 0.7600 at the last",
        "best 0.8200 at step 100, last 0.7600",  # what the plot says to those who cannot see it
        "waiting for data",
        "2 KiB",
        "1 kWh (3,600,000 J)",
        "data.options.images",
        "Checked again for this report, on the data as they are now: 30 images",
        "train.clip = 1: 10 of 10 logged steps lie above it",
    ):
        assert text in html, text
        assert text.replace("_", "\\_") in markdown or text in markdown, text
    assert html.count("<svg") == 5
    assert html.count("aria-label=") >= 5
    assert "Content-Security-Policy" in html
    assert "://" not in html
    assert sorted(path.name for path in (run.path / "report" / "plots").iterdir()) == [
        "gradients.svg", "losses.svg", "rate.svg", "time.svg", "validation.svg",
    ]  # fmt: skip


def test_the_report_is_made_again_and_leaves_other_files_alone(run, catalogue):
    page_of(run, catalogue, data=False)
    (run.path / "report" / "mine.txt").write_text("notes")
    log(run, [220])
    html, _ = page_of(run, catalogue, data=False)
    assert "220 optimizer steps" in html
    assert "were not checked again (--no-data)" in html
    assert (run.path / "report" / "mine.txt").read_text() == "notes"


@pytest.mark.parametrize(
    ("status", "words"),
    [("running", "still running"), ("failed", "failed before its end"), ("interrupted", "interrupt")],
)
def test_a_run_that_did_not_end_has_a_report_too(run, catalogue, status, words):
    run.update(status=status, reason="it was too hot", train_seconds=None, time_split=None, energy=None)
    with open(run.train_log, "a") as file:
        file.write('{"step": 240, "los')  # killed while it wrote
    html, _ = page_of(run, catalogue, data=False)
    assert words in html
    assert "it was too hot" in html
    assert "The last line of train.jsonl was cut off" in html
    assert "200 optimizer steps" in html


def test_a_step_that_a_resumed_run_wrote_again_counts_once(run):
    run.log_step({"step": 180, "loss": 9.0})
    history = read_run(run)
    assert len(history.rows) == 10
    assert dict(history.course("loss"))[180.0] == 9.0


def test_damage_in_the_middle_of_a_log_is_an_error_that_names_the_line(run):
    lines = run.train_log.read_text().splitlines()
    run.train_log.write_text("\n".join([lines[0], "{broken", *lines[1:]]))
    with pytest.raises(UserError, match=r"train\.jsonl line 2"):
        read_run(run)


def test_a_run_without_a_logged_step_is_refused(write_run):
    with pytest.raises(UserError, match="no logged step yet"):
        read_run(write_run("unet", {"a": 0.5}))


def test_epochs_are_passes_over_the_training_set(run):
    history = read_run(run)
    assert history.work.training_set == 2
    assert history.work.passes == 400
    rows = loss_table(history).rows
    assert rows[0][0].text == "start"
    assert rows[-2][0].text == "end"
    assert len(rows) < 20


@pytest.mark.parametrize("hidden", ["Meyer", "vesselbench train unet"])
def test_a_pseudonymised_report_shows_no_name(run, catalogue, hidden):
    run.update(
        status="failed",
        reason="the loss is not finite at samples Meyer_1961",
        base_weights={"/data/Meyer/model.safetensors": "ab" * 32},
    )
    config = run.config.read_text().replace("root: null", "root: /data/Meyer")
    run.config.write_text(config)
    html, markdown = page_of(run, catalogue, pseudonymised=True)
    assert hidden not in html + markdown
    assert "withheld" in html


def parsed(command: str) -> None:
    """As the real command line reads it; it raises for what does not exist."""
    words = shlex.split(command)
    assert words.pop(0) == "vesselbench"
    found = typer.main.get_command(app)
    while hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    found.make_context(found.name, words)


@pytest.mark.parametrize("changes", [
    {},
    {"status": "running"},
    {"status": "failed"},
    {"status": "interrupted"},
    {"time_split": {"data": 9.0, "forward": 1.0}},
])  # fmt: skip
def test_every_advised_command_exists(run, changes):
    run.update(**changes)
    history = read_run(run)
    advice = next_steps(history, judge(history))
    assert advice
    for step in advice:
        parsed(step.command)
    if changes == {}:
        assert f"vesselbench train {run.path}/config.yaml train.steps=100" in [step.command for step in advice]
    if "time_split" in changes:
        assert any("train.workers=2" in step.command for step in advice)


def test_every_command_advised_for_a_log_exists(text_log):
    from vesselbench.report.training.foreign import LogFacts, read_log

    history = read_log(text_log, LogFacts("micro-batches", world=4, accumulation=8))
    advice = next_steps(history, judge(history))
    assert len(advice) == 5
    for step in advice:
        parsed(step.command)
    assert "train.steps=459 train.batch_size=32" in advice[3].command


def test_the_numbers_of_the_page_are_those_of_the_log(run):
    last = json.loads(run.train_log.read_text().splitlines()[-1])
    assert loss_table(read_run(run)).rows[-2][1].text == f"{last['loss']:.4f}"
