"""The training report as a browser sees it, and as it is read aloud."""

from __future__ import annotations

from tests.browser import check_page
from tests.unit.report.test_accessibility import check
from vesselbench.report.training import report_log
from vesselbench.report.training.foreign import LogFacts

FACTS = LogFacts("micro-batches", world=4, micro_batch=1, accumulation=8, training_set=1220, epochs=3)


def test_the_report_of_a_log_asks_for_nothing_and_fits_a_phone(browser, text_log, tmp_path):
    check_page(browser, report_log(text_log, FACTS, tmp_path)[1])


def test_the_report_of_a_log_can_be_read_aloud(text_log, tmp_path):
    check(report_log(text_log, FACTS, tmp_path)[1].read_text())
