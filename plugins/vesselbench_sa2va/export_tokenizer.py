"""The tokenizer's files beside the merged weights: copied, and completed by the new tokens where they are missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesselbench import UserError
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.export_files import write_json
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tokens import BASE_TOKENS, INTERNVL_TOKENS, SA2VA_TOKENS, read_tokenizer, tiny_tokenizer

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "generation_config.json",
)


def write_tokenizer(config: Sa2VAConfig, shape: Shape, folder: Path) -> list[str]:
    """Write the tokenizer of a model into `folder`, read it again, and return what was done, in words."""
    if config.size == "tiny" and config.tokenizer is None:
        _write_tiny(folder)
        lines = ["- the tokenizer of the size tiny: one token per byte"]
    else:
        lines = _copy(_source(config), folder, shape)
    read_tokenizer(folder, shape)
    return lines


def token_ids(shape: Shape, folder: Path) -> dict[str, int | None]:
    """Ids of the tokens that end and fill a text, for config.json, from the tokenizer that lies in `folder`."""
    tokenizer = read_tokenizer(folder, shape)
    end, fill = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    return {"eos_token_id": end, "bos_token_id": fill, "pad_token_id": fill}


def _source(config: Sa2VAConfig) -> Path:
    folders = [config.tokenizer] if config.tokenizer is not None else list(config.weights)
    found = [path for path in folders if (path / "tokenizer_config.json").is_file()]
    if not found:
        raise UserError("no tokenizer in model.weights", "set model.tokenizer to the folder of a tokenizer")
    return found[0]


def _write_tiny(folder: Path) -> None:
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    special = [*BASE_TOKENS, *INTERNVL_TOKENS, *SA2VA_TOKENS]
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "additional_special_tokens": special,
            "clean_up_tokenization_spaces": False,
        },
    )


def _copy(source: Path, folder: Path, shape: Shape) -> list[str]:
    names = [name for name in FILES if (source / name).is_file()]
    for name in names:
        shutil.copyfile(source / name, folder / name)
    new = dict(zip(SA2VA_TOKENS[: len(shape.tokens.new)], shape.tokens.new, strict=True))
    added = _add_missing(folder, new)
    lines = [f"- tokenizer files of the base: {', '.join(f'`{name}`' for name in names)}"]
    if added:
        lines.append(f"- tokens added to them: {', '.join(f'{token} {new[token]}' for token in added)}")
    return lines


def _add_missing(folder: Path, new: dict[str, int]) -> list[str]:
    """Enter the new tokens into every file that lists added tokens; returns those that were missing."""
    config = _read(folder / "tokenizer_config.json")
    listed = {entry["content"] for entry in config.get("added_tokens_decoder", {}).values()}
    fast = _read(folder / "tokenizer.json")
    listed |= {entry["content"] for entry in fast.get("added_tokens", [])}
    missing = [token for token in new if token not in listed]
    if not missing:
        return []
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    for token in missing:
        config.setdefault("added_tokens_decoder", {})[str(new[token])] = {"content": token, **flags}
        fast.setdefault("added_tokens", []).append({"id": new[token], "content": token, **flags})
    _extend(config, missing)
    write_json(folder / "tokenizer_config.json", config)
    if (folder / "tokenizer.json").is_file():
        write_json(folder / "tokenizer.json", fast)
    if (folder / "special_tokens_map.json").is_file():
        special = _read(folder / "special_tokens_map.json")
        _extend(special, missing)
        write_json(folder / "special_tokens_map.json", special)
    ids = _read(folder / "added_tokens.json") | {token: new[token] for token in missing}
    write_json(folder / "added_tokens.json", ids)
    return missing


def _extend(values: dict[str, Any], missing: Sequence[str]) -> None:
    values["additional_special_tokens"] = [*values.get("additional_special_tokens", []), *missing]


def _read(path: Path) -> dict[str, Any]:
    """A JSON mapping; empty when the file is not there."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON: {error}", "copy the tokenizer again") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is no mapping", "copy the tokenizer again")
    return values
