from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from vesselbench import Batch, Example, Task, UserError
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.collate import Collator
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.sizes import TINY, Shape
from vesselbench_sa2va.tokens import tiny_tokenizer

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


@pytest.mark.parametrize("prompts", ["fixed", "official"])
@pytest.mark.parametrize("phrases", ["separate", "turns"])
def test_the_check_of_texts_takes_what_a_batch_takes(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig, shape: Shape, phrases: str, prompts: str
) -> None:
    """On both sides of the limit: as many tokens as the longest text of these examples has, and one fewer."""
    examples = [make_example(0, prompt=f"vessel {part}", name=f":{part}") for part in ("one", "two", "twenty")]
    settings = make_config(phrases=phrases, prompts=prompts)
    seeded = [replace(one, seed=seed) for seed in range(40) for one in examples]
    longest = 0
    for talk in zip(seeded[::3], seeded[1::3], seeded[2::3], strict=True):
        ids = make_batch(list(talk), settings, training=True).inputs["text"]["attention"]
        longest = max(longest, int(ids.sum(1).max()))
    samples = [one.sample for one in examples]
    for positions in (longest, longest - 1):
        language = replace(shape.language, positions=positions)
        collate = Collator(settings, replace(shape, language=language), tiny_tokenizer(), training=True)
        with nullcontext() if positions == longest else pytest.raises(UserError, match="sample0:"):
            collate.check_texts(samples)


def test_the_check_of_texts_cuts_the_name_of_a_long_phrase(make_example: Make) -> None:
    phrase = "a whole report " * 20
    sample = make_example(3, prompt=phrase, name=f":{phrase}").sample
    with pytest.raises(UserError, match=r"'sample3:a whole report.{35}\.\.\.' \(unread3.png\) has 299 characters"):
        Sa2VA().check_samples(Sa2VAConfig(), {"train": [], "val": [], "test": [sample]})


def test_phrases_are_counted_as_one_conversation_in_the_training_set_alone(make_example: Make) -> None:
    samples = [make_example(0, prompt=f"vessel {part} " * 12, name=f":{part}").sample for part in range(20)]
    config = Sa2VAConfig(phrases="turns")
    Sa2VA().check_samples(config, {"train": samples[:2], "val": samples[2:10], "test": samples[10:]})
    with pytest.raises(UserError, match="the language model takes 2048") as caught:
        Sa2VA().check_samples(config, {"train": samples, "val": [], "test": []})
    assert caught.value.hint == "set model.phrases=separate"


def test_local_contrast_replaces_the_image_before_it_is_cut_into_windows(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig
) -> None:
    example = make_example(0, (96, 96))
    settings = make_config(neighbourhood=9)
    whole = make_batch([example], settings).inputs["images"]
    assert not torch.equal(whole, make_batch([example], make_config()).inputs["images"])
    darker = replace(example, image=(example.image // 2).astype("uint8"))
    assert (make_batch([darker], settings).inputs["images"].int() - whole.int()).abs().max() <= 3
    windows = make_batch([example], make_config(neighbourhood=9, window=64)).inputs
    alone = make_batch([replace(example, image=example.image[:64, :64], mask=None)], settings).inputs["images"][0]
    first = windows["images"][0]
    assert torch.equal(first[:56, :56], alone[:56, :56])  # SAM's square is of 64 pixels: nothing is resampled
    assert not torch.equal(first, alone)  # at the cut the window still sees what lies beyond


def test_outside_of_the_field_of_view_there_is_no_contrast(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig
) -> None:
    example = make_example(0)
    fov = np.zeros(example.size, bool)
    fov[:, :40] = True
    images = make_batch([replace(example, fov=fov)], make_config(neighbourhood=9)).inputs["images"]
    assert (images[0, :, 40:] == 128).all()
    assert images[0, :, :40].unique().numel() > 100
