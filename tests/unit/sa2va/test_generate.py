from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vesselbench import Batch, Example
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.generate import Answered, questions, status_of, write_answers
from vesselbench_sa2va.model import Sa2VAModule, normalise
from vesselbench_sa2va.tokens import IGNORED, tiny_tokenizer

Make = Callable[..., Example]
MakeBatch = Callable[..., Batch]
MakeModule = Callable[..., Sa2VAModule]


@pytest.fixture
def talker(make_module: MakeModule, make_batch: MakeBatch, make_example: Make, make_config: Callable[..., Sa2VAConfig]):
    """A model that has learned to answer, whatever the phrase is, and the batch it learned on."""
    model = make_module(make_config(answer_tokens=16))
    batch = make_batch([make_example(0, prompt="artery"), make_example(1, (50, 80), prompt="a longer phrase")])
    text, tiles = batch.inputs["text"], normalise(batch.inputs["tiles"])
    learned = text["labels"][:, 1:] != IGNORED
    optimizer = torch.optim.AdamW(model.vlm.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        states = model.language_states(tiles, text["ids"], text["attention"])
        logits = model.token_logits(states[:, :-1][learned])
        loss = torch.nn.functional.cross_entropy(logits, text["labels"][:, 1:][learned])
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    model.tokenizer = tiny_tokenizer()
    return model.eval(), batch


def test_questions_end_where_the_answers_begin(make_batch: MakeBatch, make_example: Make) -> None:
    text = make_batch([make_example(0, prompt="a"), make_example(1, prompt="longer")]).inputs["text"]
    ids, attention = questions(text)
    tokenizer = tiny_tokenizer()
    for row in range(2):
        kept = ids[row][attention[row].bool()].tolist()
        whole = text["ids"][row].tolist()
        first = next(i for i, label in enumerate(text["labels"][row].tolist()) if label != IGNORED)
        assert kept == whole[:first]
        assert attention[row].diff().min() >= 0
    assert tokenizer.decode(ids[0].tolist()[-3:]).endswith("\n")


def test_a_model_that_learned_the_answer_writes_it_and_masks_as_with_the_forced_one(talker) -> None:
    model, batch = talker
    answered = model.predict(batch)
    model.tokenizer = None
    forced = model.predict(batch)
    for one, expected in zip(answered, forced, strict=True):
        assert isinstance(one, Answered)
        assert one.status == "ok"
        assert one.text == "Sure, [SEG]."
        torch.testing.assert_close(one.probability, expected, atol=1e-5, rtol=1e-4)


def test_states_of_the_written_tokens_equal_those_of_reading_them(talker) -> None:
    model, batch = talker
    text, tiles = batch.inputs["text"], normalise(batch.inputs["tiles"])
    end = model.tokenizer.token_to_id("<|im_end|>")
    written = write_answers(model, tiles, text, 8, end)
    with torch.no_grad():
        states = model.language_states(tiles, text["ids"], text["attention"])
    seg = text["seg"]
    torch.testing.assert_close(
        written.states[torch.arange(2), written.seg], states[seg[:, 0], seg[:, 1]], atol=1e-4, rtol=1e-4
    )


def test_an_answer_without_seg_gives_no_mask_and_says_so(
    make_module: MakeModule, make_batch: MakeBatch, make_example: Make, make_config: Callable[..., Sa2VAConfig]
) -> None:
    model = make_module(make_config(answer_tokens=4)).eval()
    model.tokenizer = tiny_tokenizer()
    with torch.no_grad():
        model.internvl.lm_head.weight[model.shape.tokens.seg] = 0
        model.internvl.lm_head.weight[1:20] *= 9
    (answered,) = model.predict(make_batch([make_example(0, (30, 40))]))
    assert answered.status == "no_seg"
    assert answered.probability.shape == (30, 40)
    assert not answered.probability.any()


def test_always_as_many_tokens_are_made(talker) -> None:
    model, batch = talker
    calls: list[int] = []
    hook = model.internvl.model.language_model.register_forward_pre_hook(lambda *_: calls.append(1))
    model.predict(batch)
    hook.remove()
    assert len(calls) == 1 + 16


@pytest.mark.parametrize(("count", "status"), [(0, "no_seg"), (1, "ok"), (2, "several_seg"), (9, "several_seg")])
def test_the_status_counts_the_masks_of_an_answer(count: int, status: str) -> None:
    assert status_of(count) == status
