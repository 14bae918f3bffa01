"""The model card says how an export is opened and what the released code does otherwise."""

from __future__ import annotations

from vesselbench_sa2va.card import limit_lines, opening_settings, train_lines
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.sizes import TINY

WINDOWS = Sa2VAConfig(window=48, neighbourhood=15, views=4)


def test_every_setting_but_those_of_training_is_given() -> None:
    training = {"lora", "freeze", "checkpointing", "loss", "loss_target", "phrases", "attention"}
    assert set(opening_settings(WINDOWS, TINY)) == set(Sa2VAConfig.model_fields) - training
    command = next(line for line in train_lines(WINDOWS, TINY) if line.startswith("vesselbench train"))
    assert {"model.window=48", "model.neighbourhood=15", "model.views=4"} <= set(command.split())


def test_windows_and_local_contrast_are_limits_of_the_released_code() -> None:
    limits = "\n".join(limit_lines(WINDOWS, TINY, frozen=True))
    assert "Predicts in windows of 48 pixels" in limits
    assert "Averages 4 views" in limits
    assert "Sees the local contrast in squares of 15 pixels" in limits
    plain = "\n".join(limit_lines(Sa2VAConfig(), TINY, frozen=True))
    assert "windows" not in plain
    assert "contrast" not in plain
    assert "views" not in plain
