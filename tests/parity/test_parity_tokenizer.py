"""The released tokenizer: ids, the training text, labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from vesselbench_sa2va.building import tokenizer_for
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.prompts import ANSWERS, conversation
from vesselbench_sa2va.tokens import IGNORED, SA2VA_TOKENS, encode

FOLDER = Path(__file__).parents[2] / "../shared/sa2va/tokenizer"
TEXT = (
    "<|im_start|>user\n<img>" + "<IMG_CONTEXT>" * 256 + "</img>\nPlease segment artery in this image.<|im_end|>\n"
    "<|im_start|>assistant\nSure, [SEG].<|im_end|>\n"
    "<|im_start|>user\nCan you segment the vein in this image?<|im_end|>\n<|im_start|>assistant\n[SEG].<|im_end|>\n"
)
TURNS = [
    ("Please segment artery in this image.", "Sure, [SEG]."),
    ("Can you segment the vein in this image?", "[SEG]."),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    if not FOLDER.is_dir():
        pytest.skip("the released tokenizer is not beside this repository")
    return tokenizer_for(Sa2VAConfig.model_validate({"size": "8b", "tokenizer": str(FOLDER)}))


def test_parity_of_the_special_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 151679
    assert [tokenizer.token_to_id(token) for token in SA2VA_TOKENS] == [151674, 151675, 151676, 151677, 151678]
    assert [tokenizer.token_to_id(t) for t in ("<img>", "</img>", "<IMG_CONTEXT>")] == [151665, 151666, 151667]


def test_parity_of_the_training_text_byte_for_byte(tokenizer: Tokenizer) -> None:
    encoded = encode(tokenizer, conversation(TURNS, 256))
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == TEXT
    assert encoded.ids.count(151667) == 256
    assert encoded.ids.count(151674) == 2


def test_parity_of_the_labels_answer_and_end_mark_only(tokenizer: Tokenizer) -> None:
    encoded = encode(tokenizer, conversation(TURNS, 256))
    learned = [token for token, label in zip(encoded.ids, encoded.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learned, skip_special_tokens=False) == "Sure, [SEG].<|im_end|>[SEG].<|im_end|>"
    assert learned[-1] == 151645
    assert encoded.ids[-1] == tokenizer.encode("\n").ids[0]


def test_parity_of_the_token_counts_of_the_official_answers(tokenizer: Tokenizer) -> None:
    counts = [len(tokenizer.encode(answer + "<|im_end|>", add_special_tokens=False).ids) for answer in ANSWERS]
    assert counts == [6, 6, 8, 10, 3]
