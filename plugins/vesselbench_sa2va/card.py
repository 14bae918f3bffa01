"""The model card's sections that only this plugin can write: what lies where, how it is loaded, what differs there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.prompts import QUESTION
from vesselbench_sa2va.sizes import SamShape, Shape

RELEASED_TILES = 12


def opening_settings(config: Sa2VAConfig, shape: Shape) -> dict[str, Any]:
    """The ``model`` settings with which ``merged/`` predicts what the run predicted: all that change a prediction."""
    return {
        "size": "auto",
        "weights": "merged",
        "tokenizer": None,
        "dtype": config.dtype,
        "masks": config.masks,
        "resize": config.resize,
        "window": config.window,
        "views": config.views,
        "neighbourhood": config.neighbourhood,
        "max_tiles": config.max_tiles or shape.max_tiles,
        "prompts": config.prompts,
        "answer": config.answer,
        "answer_tokens": config.answer_tokens,
    }


def train_lines(config: Sa2VAConfig, shape: Shape) -> list[str]:
    """The command that trains ``merged/`` further, from inside the export's folder."""
    settings = opening_settings(config, shape)
    words = [f"model.{key}={'null' if value is None else value}" for key, value in settings.items()]
    return [
        "By vesselbench, to train it further, from inside this folder (add `data.format=` and `data.root=`):\n",
        "```sh",
        f"vesselbench train config.yaml {' '.join(words)}",
        "```\n",
        "Only with these settings it predicts what was scored here.\n",
    ]


def load_lines(config: Sa2VAConfig, shape: Shape, code: Sequence[str]) -> list[str]:
    """How to load each of the exported forms."""
    question = QUESTION.format(phrase="blood vessel")
    beside = (
        "the Python files beside config.json are those of the base"
        if code
        else "its Python files are not here: copy every `.py` file of a released Sa2VA model into `merged/` first"
    )
    copies = ", with the trained copies of embedding and head" if config.lora.tokens == "official" else ""
    return [
        f"By the released code ({beside}; read them before you run them):\n",
        "```python",
        f'model = AutoModel.from_pretrained("merged", trust_remote_code={True}, torch_dtype="auto").eval()',
        f'tokenizer = AutoTokenizer.from_pretrained("merged", trust_remote_code={True}, use_fast=False)',
        f'found = model.predict_forward(image=image, text="<image>{question}", tokenizer=tokenizer)',
        "```\n",
        *train_lines(config, shape),
        f"By peft, on the base as an InternVLForConditionalGeneration (the language model's adapter{copies}):\n",
        "```python",
        'model = PeftModel.from_pretrained(base, "adapter")',
        "```\n",
        "`other_trained.safetensors` beside it holds the rest: names that start with `vlm.` are that model's, with",
        "`sam.` those of Sam2Model; `new_embedding.weight` and `new_head.weight`, if there are any, are added to the",
        "rows of the tokens that its metadata names.",
    ]


def limit_lines(config: Sa2VAConfig, shape: Shape, frozen: bool) -> list[str]:
    """What the released code does otherwise, and what this form of the model cannot do."""
    lines = [
        "- The released code needs a CUDA device, writes the answer itself, and gives masks at the threshold 0.5, not",
        "  probabilities.",
    ]
    if config.resize == "pad":
        lines.append(
            "- Trained with `resize: pad`. The released code stretches an image to a square, so only square images give"
            " the masks that were scored here."
        )
    if config.window is not None:
        lines.append(f"- Predicts in windows of {config.window} pixels; the released code sees the image at once.")
    if config.views > 1:
        lines.append(f"- Averages {config.views} views of an image; the released code sees one.")
    if config.neighbourhood is not None:
        lines.append(
            f"- Sees the local contrast in squares of {config.neighbourhood} pixels; the released code sees the image"
            " itself, which this model has not learned to read."
        )
    tiles = config.max_tiles or shape.max_tiles
    if tiles != RELEASED_TILES:
        lines.append(f"- Trained with {tiles} tile{'s' * (tiles > 1)} per image; the released code takes up to 12.")
    if config.masks == "single":
        lines.append(
            "- Trained with `masks: single`. The released code always takes one of the three other masks, whose"
            " hypernetworks were not trained then: it gives masks that nobody has scored."
        )
    if shape.sam != SamShape():
        lines.append(
            "- SAM 2 is not of the large size; the released code knows no other: `merged/` loads in vesselbench only."
        )
    if not frozen:
        lines.append("- Everything was trained: `adapter/other_trained.safetensors` holds the base's weights too.")
    return lines
