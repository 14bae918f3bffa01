"""Which values of a mask are which target: options that every format of mask images has."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vesselbench.config import Settings
from vesselbench.data.mask_files import colour_value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class MaskTargets(Settings):
    """One target by `target`, `prompt` and `foreground`, or several by `values` and `prompts`."""

    target: str = "vessel"
    """Name of what the masks show."""
    prompt: str = "blood vessel"
    """The phrase a language model is given for it."""
    foreground: list[int] | None = None
    """Values of a mask that count as foreground; None: the larger of two."""
    values: dict[str, Annotated[list[int | str], BeforeValidator(_as_list)]] | None = None
    """Targets of a class-id or colour mask: the values of each, numbers or colours, such as {vessel: [1, 2],
    catheter: ["#ff0000"]}. A target is called by its name; `prompts` gives its phrase. Other values are background."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt of a target named in `values`; default: its name."""

    @field_validator("values")
    @classmethod
    def _values_are_told_apart(cls, values: dict[str, list[int | str]] | None) -> dict[str, list[int | str]] | None:
        owners: dict[int, str] = {}
        for target, members in (values or {}).items():
            if not members:
                raise ValueError(f"{target!r} has no value")
            for member in members:
                number = colour_value(member) if isinstance(member, str) else member
                if owners.setdefault(number, target) != target:
                    raise ValueError(f"{member!r} belongs to {owners[number]!r} and to {target!r}")
        return values

    @model_validator(mode="after")
    def _one_way_of_naming(self) -> Self:
        single = {"foreground", "target", "prompt"} & self.model_fields_set
        if self.values is not None and single:
            raise ValueError(f"values names the targets, so {', '.join(sorted(single))} must not be set")
        if self.values == {}:
            raise ValueError("values names no target")
        if unknown := sorted(self.prompts.keys() - (self.values or {}).keys()):
            raise ValueError(f"prompts names {', '.join(unknown)}, which values does not")
        return self

    def targets(self) -> dict[str, tuple[str, tuple[int, ...] | None]]:
        """Target -> (prompt, values that count)."""
        if self.values is None:
            return {self.target: (self.prompt, None if self.foreground is None else tuple(self.foreground))}
        return {
            target: (
                self.prompts.get(target, target),
                tuple(colour_value(value) if isinstance(value, str) else value for value in members),
            )
            for target, members in self.values.items()
        }
