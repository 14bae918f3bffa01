from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from vesselbench import UserError
from vesselbench_sa2va.prompts import ANSWERS, QUESTIONS, clean_phrase, conversation
from vesselbench_sa2va.sizes import TINY
from vesselbench_sa2va.tokens import IGNORED, encode, read_tokenizer, tiny_tokenizer

TEXT = (
    "<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nPlease segment artery in this image.<|im_end|>\n"
    "<|im_start|>assistant\nSure, [SEG].<|im_end|>\n"
    "<|im_start|>user\nWhere is vein?<|im_end|>\n<|im_start|>assistant\n[SEG].<|im_end|>\n"
)
TURNS = [("Please segment artery in this image.", "Sure, [SEG]."), ("Where is vein?", "[SEG].")]


def test_the_training_text_is_the_official_one_byte_for_byte() -> None:
    assert "".join(part.text for part in conversation(TURNS, 2)) == TEXT


def test_labels_cover_exactly_the_answers_and_their_end_marks() -> None:
    tokenizer = tiny_tokenizer()
    encoded = encode(tokenizer, conversation(TURNS, 2))
    learned = [token for token, label in zip(encoded.ids, encoded.labels, strict=True) if label != IGNORED]
    answers = tokenizer.encode("Sure, [SEG].<|im_end|>[SEG].<|im_end|>", add_special_tokens=False).ids
    assert learned == answers
    assert all(label in (IGNORED, token) for token, label in zip(encoded.ids, encoded.labels, strict=True))


def test_the_tiny_vocabulary_agrees_with_the_tiny_shape() -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.get_vocab_size() == TINY.language.vocabulary
    assert tokenizer.token_to_id("<IMG_CONTEXT>") == TINY.tokens.image
    assert tokenizer.token_to_id("[SEG]") == TINY.tokens.seg
    assert tuple(tokenizer.token_to_id(t) for t in ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")) == TINY.tokens.new


@given(st.text(max_size=40))
def test_the_tiny_tokenizer_reads_any_text_without_unknowns(text: str) -> None:
    tokenizer = pickle.loads(pickle.dumps(tiny_tokenizer()))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) == len(text.encode()) or any(mark in text for mark in "<[")


def test_every_official_answer_has_one_mask_and_every_question_its_phrase() -> None:
    assert len(QUESTIONS) == 16
    assert all(answer.count("[SEG]") == 1 for answer in ANSWERS)
    assert all(question.count("{phrase}") == 1 for question in QUESTIONS)


def test_a_phrase_is_lower_case_without_its_full_stop() -> None:
    assert clean_phrase("Blood Vessel.", "a") == "blood vessel"


@pytest.mark.parametrize("phrase", ["", " ", ".", "x" * 201])
def test_an_empty_or_endless_phrase_is_an_error_that_names_the_sample(phrase: str) -> None:
    with pytest.raises(UserError, match="image7"):
        clean_phrase(phrase, "image7")


def test_a_folder_whose_config_names_code_is_read_without_running_or_asking_for_it(tmp_path: Path) -> None:
    tiny = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer())
    tiny.save_pretrained(tmp_path)
    code = {"model_type": "sa2va_chat", "auto_map": {"AutoConfig": "code.Config", "AutoTokenizer": "code.Tokenizer"}}
    (tmp_path / "config.json").write_text(json.dumps(code))
    (tmp_path / "code.py").write_text("raise SystemExit('run')")
    assert read_tokenizer(tmp_path, TINY).token_to_id("[SEG]") == TINY.tokens.seg
