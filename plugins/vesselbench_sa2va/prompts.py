"""What is asked and answered: the official questions and answers, and the text of one training example.

Byte for byte as Sa2VA writes them (template ``qwen_chat``); the repeated questions act as weights when one is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench import UserError

QUESTION = "Please segment {phrase} in this image."
ANSWER = "Sure, [SEG]."

QUESTIONS: tuple[str, ...] = (
    *(
        "Can you segment the {phrase} in this image?",
        "Please segment {phrase} in this image.",
        "Could you provide a segmentation mask for the {phrase} in this image?",
        "Please identify and segment the {phrase} in this image.",
        "Where is the {phrase} in this picture? Please respond with a segmentation mask.",
        "Can you highlight the {phrase} in this image with a segmentation mask?",
    )
    * 2,
    "What is {phrase} in this image? Please respond with segmentation mask.",
    "What is {phrase} in this image? Please output segmentation mask.",
    "What is {phrase} in this image? Please respond with segmentation mask?",
    "What is {phrase} in this image? Please output segmentation mask?",
)
ANSWERS: tuple[str, ...] = (
    "It is [SEG].",
    "Sure, [SEG].",
    "Sure, it is [SEG].",
    "Sure, the segmentation result is [SEG].",
    "[SEG].",
)
LONGEST_PHRASE = 200
"""Characters. A longer phrase is a mistake in the data (a report pasted into a label, say)."""


@dataclass(frozen=True)
class Template:
    """What stands around a question and after an answer."""

    before: str
    between: str
    end: str


_CHAT = Template("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>")
TEMPLATES = {
    "qwen_chat": _CHAT,
    "internlm2_chat": _CHAT,
    "phi3_chat": Template("<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>"),
}


@dataclass(frozen=True)
class Part:
    """A piece of the text that is tokenised by itself; only learned parts are in the language loss."""

    text: str
    learned: bool


def clean_phrase(text: str, sample: str) -> str:
    """The phrase in lower case without a final full stop; UserError, naming `sample`, when it is empty or too long."""
    phrase = text.lower().strip().removesuffix(".")
    if not phrase:
        raise UserError(f"{sample} has an empty phrase", "give it a text such as 'blood vessel'")
    if len(phrase) > LONGEST_PHRASE:
        raise UserError(
            f"the phrase of {sample} has {len(phrase)} characters, at most {LONGEST_PHRASE} are allowed",
            "give the name of the structure only",
        )
    return phrase


def conversation(turns: list[tuple[str, str]], image_tokens: int, template: str = "qwen_chat") -> list[Part]:
    """The text of one image: per turn the question, the answer with its end mark, and the separator.

    `turns` are (question, answer); the image's tokens stand in front of the first question.
    """
    marks = TEMPLATES[template]
    parts = []
    for index, (question, answer) in enumerate(turns):
        image = f"<img>{'<IMG_CONTEXT>' * image_tokens}</img>\n" if index == 0 else ""
        parts.append(Part(f"{marks.before}{image}{question}{marks.between}", learned=False))
        parts.append(Part(f"{answer}{marks.end}", learned=True))
        parts.append(Part("\n", learned=False))
    return parts
