"""The report of one training: of a run, whatever became of it, or of another program's log (no torch)."""

from vesselbench.report.training.foreign import LogFacts
from vesselbench.report.training.make import report_log, report_run

__all__ = ["LogFacts", "report_log", "report_run"]
