"""Several phrases of one image: turns of one conversation in training, one question each in prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from vesselbench import Batch, Example, Task, UserError
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.sizes import TINY
from vesselbench_sa2va.tokens import IGNORED, tiny_tokenizer

Make = Callable[..., Example]
MakeBatch = Callable[..., Batch]
MakeConfig = Callable[..., Sa2VAConfig]
MakeModule = Callable[..., Sa2VAModule]
TASK = Task(("artery", "vein"))


def phrases(make_example: Make, *prompts: str, seed: int = 0, masks: str = "bar") -> list[Example]:
    """One image with several phrases."""
    return [make_example(seed, mask=masks, prompt=prompt, name=f":{prompt}") for prompt in prompts]


def test_the_phrases_of_an_image_are_turns_of_one_conversation(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig
) -> None:
    examples = [*phrases(make_example, "artery", "vein"), *phrases(make_example, "vessel", seed=1)]
    shuffled = [examples[0], examples[2], examples[1]]
    inputs = make_batch(shuffled, make_config(phrases="turns"), training=True).inputs
    text = inputs["text"]
    assert (inputs["images"].shape[0], inputs["tiles"].shape[0], text["ids"].shape[0]) == (2, 2, 2)
    assert text["seg"][:, [0, 2]].tolist() == [[0, 0], [0, 1], [1, 0]]
    assert len(inputs["masks"]) == len(inputs["present"]) == 3
    seen = text["ids"][0][text["attention"][0].bool()]
    image = "<IMG_CONTEXT>" * int((seen == TINY.tokens.image).sum())
    assert tiny_tokenizer().decode(seen.tolist(), skip_special_tokens=False) == (
        f"<|im_start|>user\n<img>{image}</img>\nPlease segment artery in this image.<|im_end|>\n"
        "<|im_start|>assistant\nSure, [SEG].<|im_end|>\n"
        "<|im_start|>user\nPlease segment vein in this image.<|im_end|>\n"
        "<|im_start|>assistant\nSure, [SEG].<|im_end|>\n"
    )
    learned = text["ids"][0][text["labels"][0] != IGNORED]
    assert tiny_tokenizer().decode(learned.tolist(), skip_special_tokens=False) == "Sure, [SEG].<|im_end|>" * 2


def test_a_prediction_asks_each_phrase_by_itself(make_example: Make) -> None:
    config = Sa2VAConfig(phrases="turns")
    examples = phrases(make_example, "artery", "vein")
    asked = Sa2VA().collator(config, TASK)(examples)
    assert asked["text"]["seg"][:, [0, 2]].tolist() == [[0, 0], [1, 0]]
    learned = Sa2VA().training_collator(config, TASK)(examples)
    assert learned["text"]["seg"][:, [0, 2]].tolist() == [[0, 0], [0, 1]]
    assert Sa2VA().by_image(config)
    assert not Sa2VA().by_image(Sa2VAConfig())


def test_the_first_turn_is_what_it_would_be_alone(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig, make_module: MakeModule
) -> None:
    module, turns = make_module().eval(), make_config(phrases="turns")
    examples = phrases(make_example, "artery", "vein")
    found = []
    for chosen in (examples, examples[:1]):
        inputs = make_batch(chosen, turns, training=True).inputs
        tiles, text = inputs["tiles"].permute(0, 3, 1, 2).float() / 255, inputs["text"]
        with torch.no_grad():
            states = module.language_states(tiles, text["ids"], text["attention"])
            found.append(module.prompt_masks(inputs["images"].permute(0, 3, 1, 2) / 255.0, states, text["seg"])[0][0])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_objects_and_absent_masks_run_through_the_same_modules(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig, make_module: MakeModule, count: int
) -> None:
    module, turns = make_module(), make_config(phrases="turns")
    keys = set()
    for masks in ("bar", "empty", "none"):
        examples = phrases(make_example, *(f"vessel {index}" for index in range(count)), masks=masks)
        module.zero_grad(set_to_none=True)
        losses = module.loss(make_batch(examples, turns, training=True))
        losses["loss"].backward()
        assert torch.isfinite(losses["loss"])
        assert all(part.grad is not None for part in module.parameters() if part.requires_grad)
        assert (losses["loss_mask"] == 0) == (masks == "none")
        keys.add(tuple(losses))
    assert len(keys) == 1


def test_a_conversation_longer_than_the_model_takes_names_both_ways_out(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig
) -> None:
    examples = phrases(make_example, *(f"vessel {index} " * 12 for index in range(20)))
    with pytest.raises(UserError) as caught:
        make_batch(examples, make_config(phrases="turns"), training=True)
    assert "of them for 1 tiles; the language model takes 2048" in caught.value.message
    assert caught.value.hint == "set model.phrases=separate"


def test_an_image_that_comes_again_is_a_conversation_of_its_own(
    make_batch: MakeBatch, make_example: Make, make_config: MakeConfig
) -> None:
    """At the end of an epoch and the start of the next, changed otherwise each time."""
    first = phrases(make_example, "artery", "vein")
    again = [replace(example, image=255 - example.image, mask=~example.mask) for example in first]
    inputs = make_batch([*first, *again], make_config(phrases="turns"), training=True).inputs
    assert inputs["text"]["seg"][:, [0, 2]].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert not torch.equal(inputs["images"][0], inputs["images"][1])
    assert [bool(mask[20, 0]) for mask in inputs["masks"]] == [True, True, False, False]
