"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-dir",
        action="append",
        default=[],
        help="folder of a parity fixture (config.json, model, inputs, expected); may be given repeatedly",
    )
