from __future__ import annotations

import signal

import pytest

from vesselbench.jobs import StoppedError
from vesselbench.training import stop as stopping
from vesselbench.training.stop import Stop


def test_a_signal_waits_for_the_next_check_and_is_told_of_once():
    said: list[str] = []
    with Stop(said.append) as stop:
        stop.wait_for_checks()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert len(said) == 1
        assert said[0].startswith("SIGTERM: saving after the step under way, then ending; Ctrl-C once more ends")
        with pytest.raises(StoppedError, match="stopped by SIGTERM"):
            stop.check()


def test_before_there_is_anything_to_save_a_signal_ends_the_work_where_it_is():
    with Stop(print) as stop, pytest.raises(StoppedError, match="SIGINT"):
        signal.raise_signal(signal.SIGINT)
    del stop


def test_a_second_ctrl_c_ends_at_once_but_not_the_same_one_delivered_twice(monkeypatch):
    with Stop(lambda text: None) as stop:
        stop.wait_for_checks()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # from the terminal, and from the process that started this one
        monkeypatch.setattr(stopping, "ONE_PRESS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
