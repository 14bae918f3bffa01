"""Windows cover every pixel, and their maps become one map of the image's own size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vesselbench import Task
from vesselbench.testing import make_batch
from vesselbench_sa2va import Sa2VA, model, windows
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.windows import blend, cut_windows, starts

TASK = Task(("vessel",))


@pytest.mark.parametrize(("length", "window"), [(40, 64), (64, 64), (65, 64), (200, 64), (999, 128)])
def test_windows_cover_an_axis_and_stay_inside(length, window):
    covered = np.zeros(length, bool)
    for start in starts(length, window):
        assert start == 0 or start + window <= length
        covered[start : start + window] = True
    assert covered.all()


def test_maps_of_windows_become_the_image_they_were_cut_from(make_example):
    examples = [make_example(0, (70, 100)), make_example(1, (40, 64))]
    truth = [torch.rand(example.size) for example in examples]
    _, places = cut_windows(examples, 48)
    maps = [truth[number][top : top + 48, left : left + 48] for number, top, left in places.tolist()]
    for whole, expected in zip(blend(maps, places, [(70, 100), (40, 64)]), truth, strict=True):
        assert torch.allclose(whole, expected, atol=1e-6)


def test_an_image_within_the_window_is_predicted_as_without_one(make_example):
    torch.manual_seed(0)
    module = Sa2VA().build(Sa2VAConfig(), TASK).eval()
    examples = [make_example(0, (64, 64)), make_example(1, (64, 64))]
    plain = module.predict(make_batch(examples, Sa2VA().collator(Sa2VAConfig(), TASK)))
    cut = module.predict(make_batch(examples, Sa2VA().collator(Sa2VAConfig(window=64), TASK)))
    for one, other in zip(plain, cut, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_windows_in_parts_predict_what_they_do_at_once(make_example, monkeypatch):
    torch.manual_seed(0)
    config = Sa2VAConfig(window=48)
    module = Sa2VA().build(config, TASK).eval()
    batch = make_batch([make_example(0, (70, 100))], Sa2VA().collator(config, TASK))
    calls = []
    module.text_hidden_fcs.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(model, "TOGETHER", 2)
    (parts,) = module.predict(batch)
    assert len(calls) == 3
    monkeypatch.setattr(windows, "is_alone", lambda: False)
    (once,) = module.predict(batch)
    assert len(calls) == 4, "every rank makes equally many calls"
    assert parts.shape == (70, 100)
    assert torch.allclose(parts, once, atol=1e-5)


def test_training_examples_are_not_cut(make_example):
    inputs = Sa2VA().training_collator(Sa2VAConfig(window=48), TASK)([make_example(0, (70, 100))])
    assert "windows" not in inputs
    assert len(inputs["images"]) == 1


def test_an_answer_for_each_window_is_refused():
    with pytest.raises(ValidationError, match="one answer"):
        Sa2VAConfig(window=64, answer="generated")
