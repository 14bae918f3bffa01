"""What is said of the log of a real fine-tune that three explanations had got wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vesselbench.errors import UserError
from vesselbench.report.training import report_log
from vesselbench.report.training.foreign import LogFacts, read_log
from vesselbench.report.training.history import History
from vesselbench.report.training.judgement import answer_floor, answer_floor_of_turns, judge
from vesselbench.report.training.render import summary
from vesselbench.report.training.tables import loss_table, speed_table, split_of_time, work_table

FACTS = LogFacts("micro-batches", world=4, micro_batch=1, accumulation=8, training_set=1220, epochs=3)


@pytest.fixture
def history(text_log) -> History:
    return read_log(text_log, FACTS)


def lines(table) -> dict[str, str]:
    return {row[0].text: row[1].text for row in table.rows}


def said(history: History) -> dict[str, str]:
    return {finding.title: finding.text for finding in judge(history)}


def test_3672_micro_batches_of_four_processes_are_459_steps_and_14688_samples(history):
    work = history.work
    assert (work.optimizer_steps, work.samples, work.micro_batches, work.batch) == (459, 14_688, 3672, 32)
    assert summary(history) == (
        "459 optimizer steps of 32 samples = 14,688 samples (12.0 passes over 1,220) in 16 h 31 min at 0.247 samples/s "
        "over all 4 processes together."
    )
    told = lines(work_table(history))
    assert told["one step is"] == "32 samples = 4 processes × 1 per micro-batch × 8 accumulated"
    assert told["micro-batches per process"] == "3,672"
    assert (told["epochs, as the log counts them"], told["samples per such epoch"]) == ("3", "4,896")
    assert told["passes over the training set"] == "12.0"


def test_its_speed_is_that_of_all_processes_and_its_steps_are_eight_micro_batches_long(history):
    told = lines(speed_table(history))
    assert told["samples/s, all processes together"] == "0.247"
    assert told["time per micro-batch (mean)"] == "16.2 s"
    assert told["time per optimizer step (mean)"] == "2 min 10 s"
    assert not [name for name in told if "energy" in name or "memory" in name or "utilisation" in name]
    split = split_of_time(history)
    assert 0.002 < split["data"] / sum(split.values()) < 0.005, "loading took 0.02 to 0.08 s of 16.2 s"


def test_its_losses_stand_at_the_start_at_the_ends_of_the_epochs_and_at_the_end(history):
    table = loss_table(history)
    assert table.columns == ("", "total", "loss_mask", "loss_dice", "llm_loss")
    shown = [(row[0].text, row[0].note, row[1].text) for row in table.rows]
    assert shown == [
        ("start", "micro-batch 10, optimizer step 1.25", "13.7600"),
        ("epoch 1", "micro-batch 1,220, optimizer step 152.5", "1.1791"),
        ("epoch 2", "micro-batch 2,450, optimizer step 306.25", "1.1675"),
        ("end", "micro-batch 3,670, optimizer step 458.75", "1.0797"),
        ("change", "first to last", "-92.2%"),
    ]
    assert [cell.text for cell in table.rows[0]][2:] == ["4.8402", "0.9979", "7.9219"]
    assert [cell.text for cell in table.rows[3]][2:] == ["0.4839", "0.3120", "0.2838"]


def test_the_language_loss_is_called_what_it_is(history):
    text = said(history)["Language loss"]
    assert "ended at 0.2838, which is the entropy of the answers (about 0.28) and no progress" in text
    assert "ln 5 = 1.609 nat per answer" in text
    assert "0.287 nat per token with one mask per image and 0.263 with two" in text
    assert (round(answer_floor(), 4), round(answer_floor_of_turns(2), 4)) == (0.2870, 0.2626)
    assert answer_floor() == pytest.approx(answer_floor_of_turns(1))


def test_a_language_loss_above_the_floor_is_not_called_finished(history):
    rows = tuple(replace(row, values={**row.values, "llm_loss": 0.9}) for row in history.rows)
    assert "will not fall below that" in said(replace(history, rows=rows))["Language loss"]


def test_the_logged_parts_add_up_so_that_the_weights_are_in_them(history):
    assert said(history)["Components"] == (
        "loss_mask 0.4839 + loss_dice 0.3120 + llm_loss 0.2838 = 1.0797: the weights of the loss are in them."
    )


def test_without_validation_nothing_is_said_of_convergence_and_over_fitting(history):
    told = said(history)
    assert told["Convergence"].startswith("Cannot be judged: no validation")
    assert told["Over-fitting"] == "Cannot be judged without more validations."


def test_text_and_json_logs_tell_the_same(text_log, json_log):
    ours, theirs = read_log(text_log, FACTS), read_log(json_log, FACTS)
    assert len(ours.rows) == len(theirs.rows) == 367
    assert theirs.rows[-1].values["loss"] == ours.rows[-1].values["loss"]
    assert theirs.work.micro_batches == 3670, "scalars.json does not name its length"


def test_iterations_that_are_optimizer_steps_are_not_divided(text_log):
    work = read_log(text_log, replace(FACTS, counted="optimizer-steps")).work
    assert (work.optimizer_steps, work.micro_batches, work.samples) == (3672, 29_376, 117_504)


def test_a_log_by_epochs_is_counted_through(tmp_path):
    place = "2025/03/01 10:00:00 - mmengine - INFO - Epoch(train) [{}][{}/20]  lr: 1e-05  time: 2.0  loss: {}"
    path = tmp_path / "epochs.log"
    path.write_text("\n".join(place.format(e, i, 9 - e) for e in (1, 2) for i in (10, 20)))
    history = read_log(path, LogFacts("micro-batches", accumulation=4))
    assert [row.logged for row in history.rows] == [10, 20, 30, 40]
    assert history.work.optimizer_steps == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing of the kind\n", "no line of a training"),
        ('{"iter": 10, "loss_mask": 1.0}\n', "no line of a training"),
        ('{"iter": 10, "loss": 1.0}\n{"iter": 10, "loss": 2.0}\n', "iteration 10 twice"),
    ],
)
def test_what_is_no_log_of_one_training_is_refused(tmp_path, text, message):
    path = tmp_path / "x.log"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_log(path, FACTS)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "x.log"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_log(path, FACTS)


def test_the_written_page_has_the_numbers_and_needs_nothing_else(text_log, tmp_path):
    _, page = report_log(text_log, FACTS, tmp_path / "out")
    html, markdown = page.read_text(), (page.parent / "report.md").read_text()
    for text in ("14,688 samples", "459", "0.247", "13.7600", "0.2838", "0.287 nat per token"):
        assert text in html
        assert text in markdown
    assert "://" not in html
    assert html.count("<script") == 1, "the page's own, which its policy names by hash"
    assert page.parent.parent == tmp_path / "out" / "training"


def test_a_log_can_be_shown_without_the_folder_it_lies_in(text_log, tmp_path):
    secret = tmp_path / "Meyer 1961"
    secret.mkdir()
    moved = Path(text_log.rename(secret / "meyer.log"))
    _, page = report_log(moved, FACTS, tmp_path / "out", pseudonymised=True)
    for name in ("report.html", "report.md"):
        assert "meyer" not in (page.parent / name).read_text().lower()
    assert "<span>withheld</span>" in page.read_text()
