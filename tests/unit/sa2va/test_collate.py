from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from vesselbench import Batch, Example, Task, UserError
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.sizes import TINY

Make = Callable[..., Example]
MakeBatch = Callable[..., Batch]
MakeConfig = Callable[..., Sa2VAConfig]


def test_the_collator_survives_a_loader_worker(make_example: Make) -> None:
    collate = Sa2VA().collator(Sa2VAConfig(), Task(("vessel",)))
    copied = pickle.loads(pickle.dumps(collate))
    inputs = copied([make_example(0)])
    assert inputs["images"].shape == (1, TINY.sam.image, TINY.sam.image, 3)


def test_inputs_hold_no_floating_tensor(make_batch: MakeBatch, make_example: Make) -> None:
    inputs = make_batch([make_example(0), make_example(1)]).inputs
    tensors = (
        [inputs[k] for k in ("tiles", "images", "placed", "present")] + inputs["masks"] + [*inputs["text"].values()]
    )
    assert not any(tensor.is_floating_point() for tensor in tensors)


def test_masks_keep_their_own_size_and_absent_ones_are_marked(make_batch: MakeBatch, make_example: Make) -> None:
    examples = [make_example(0, (40, 70)), make_example(1, (64, 64), "none"), make_example(2, (30, 30), "empty")]
    inputs = make_batch(examples).inputs
    assert [tuple(mask.shape) for mask in inputs["masks"]] == [(40, 70), (64, 64), (30, 30)]
    assert inputs["present"].tolist() == [True, False, True]
    assert [int(mask.sum()) for mask in inputs["masks"]] == [10 * 70, 0, 0]
    assert inputs["placed"].tolist() == [[37, 64], [64, 64], [64, 64]]


def test_the_place_of_seg_is_where_the_answer_has_it(make_batch: MakeBatch, make_example: Make) -> None:
    text = make_batch([make_example(0, prompt="artery"), make_example(1, prompt="a longer phrase")]).inputs["text"]
    assert text["seg"][:, 0].tolist() == [0, 1]
    assert (text["ids"][text["seg"][:, 0], text["seg"][:, 1]] == TINY.tokens.seg).all()
    assert (text["ids"] == TINY.tokens.seg).sum() == 2
    assert text["attention"].sum(1).tolist() == [
        L := int(text["attention"][0].sum()),
        L + len("a longer phrase") - len("artery"),
    ]


def test_each_tile_has_its_image_tokens(make_batch: MakeBatch, make_example: Make, make_config: MakeConfig) -> None:
    batch = make_batch([make_example(0, (60, 120)), make_example(1)], make_config(max_tiles=4))
    tiles, ids = batch.inputs["tiles"], batch.inputs["text"]["ids"]
    assert tiles.shape[0] == 3 + 1
    assert (ids == TINY.tokens.image).sum(1).tolist() == [3 * 4, 4]


def test_drawn_prompts_leave_the_fixed_question_for_predictions(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig
) -> None:
    examples = [make_example(0)]
    fixed = make_batch(examples).inputs["text"]
    official = make_config(prompts="official")
    seeded = [replace(examples[0], seed=seed) for seed in range(12)]
    drawn = [make_batch([one], official, training=True).inputs["text"]["ids"][0] for one in seeded]
    assert len({tuple(ids.tolist()) for ids in drawn}) > 4
    asked = [make_batch(examples, official).inputs["text"]["ids"] for _ in range(3)]
    assert all(torch.equal(ids, fixed["ids"]) for ids in asked)


def test_a_text_longer_than_the_model_takes_is_an_error_that_names_the_sample(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"'sample3' \(unread3.png\) has 300 characters"):
        make_batch([make_example(3, prompt="x" * 300)])
