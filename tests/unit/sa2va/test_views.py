"""Views are the mirror images of an image, and what is drawn on them is turned back before it is averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vesselbench import Task
from vesselbench.testing import make_batch
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.views import average_views, size_of, view_of

TASK = Task(("vessel",))


@pytest.mark.parametrize("count", [1, 4, 8])
def test_what_a_view_shows_is_turned_back_to_where_it_was(make_example, count):
    examples = [make_example(0, (40, 64)), make_example(1, (30, 20))]
    views = [view_of(example, view) for example in examples for view in range(count)]
    assert [view.size for view in views] == [size_of(one.size, v) for one in examples for v in range(count)]
    drawn = [torch.from_numpy(view.image[..., 0].astype(np.float32)) for view in views]
    for found, example in zip(average_views(drawn, count), examples, strict=True):
        assert torch.equal(found, torch.from_numpy(example.image[..., 0].astype(np.float32)))


def test_all_eight_views_differ(make_example):
    example = make_example(0, (40, 40))
    assert len({view_of(example, view).image.tobytes() for view in range(8)}) == 8


@pytest.mark.parametrize("window", [None, 48])
def test_a_prediction_of_eight_views_turns_with_the_image(make_example, window):
    torch.manual_seed(0)
    config = Sa2VAConfig(views=8, window=window, neighbourhood=9)
    module = Sa2VA().build(config, TASK).eval()
    example = make_example(0, (48, 70))
    (found,) = module.predict(make_batch([example], Sa2VA().collator(config, TASK)))
    assert found.shape == (48, 70)
    for view in range(8):
        turned = view_of(example, view)
        (again,) = module.predict(make_batch([turned], Sa2VA().collator(config, TASK)))
        inverse = torch.flip(again.t() if view >= 4 else again, ((), (0,), (1,), (0, 1))[view % 4])
        assert torch.allclose(inverse, found, atol=1e-4), view
    alone = Sa2VA().collator(Sa2VAConfig(window=window, neighbourhood=9), TASK)
    module.settings = Sa2VAConfig(window=window, neighbourhood=9)
    (single,) = module.predict(make_batch([example], alone))
    assert not torch.allclose(single, found, atol=1e-3)


def test_views_are_for_predictions_alone(make_example):
    inputs = Sa2VA().training_collator(Sa2VAConfig(views=8), TASK)([make_example(0)])
    assert len(inputs["images"]) == 1
    assert "windows" not in inputs


def test_an_answer_for_each_view_is_refused():
    with pytest.raises(ValidationError, match="one answer"):
        Sa2VAConfig(views=4, answer="generated")
