from pathlib import Path

import numpy as np
import pytest

from vesselbench.errors import UserError
from vesselbench.evaluation.spool import Spool
from vesselbench.types import Prediction


def test_predictions_come_back_bit_for_bit_and_in_order():
    generator = np.random.default_rng(0)
    predictions = [Prediction(f"p/{n}", generator.random((3 + n, 4), np.float32), status=f"s{n}") for n in range(3)]
    with Spool() as spool:
        for prediction in predictions:
            spool.put(prediction)
        assert len(spool) == 3
        for prediction in predictions:
            back = spool.get(prediction.id)
            assert (back.id, back.status, back.threshold) == (prediction.id, prediction.status, prediction.threshold)
            assert back.probability.dtype == np.float32
            assert np.array_equal(back.probability, prediction.probability)


def test_nothing_is_left_on_disk_even_after_an_error(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stored = []

    def fail():
        with Spool() as spool:
            spool.put(Prediction("a", np.zeros((2, 2), np.float32)))
            stored.extend(tmp_path.rglob("*.npy"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert len(stored) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_the_users_error_with_a_cure(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Spool() as spool:
        folder = next(tmp_path.iterdir())
        folder.rmdir()
        with pytest.raises(UserError, match="cannot write") as caught:
            spool.put(Prediction("a", np.zeros((2, 2), np.float32)))
        assert "TMPDIR" in caught.value.hint
        folder.mkdir()


def test_a_place_where_no_folder_can_be_made_is_the_users_error(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="cannot make a temporary folder") as caught:
        Spool()
    assert "TMPDIR" in caught.value.hint
