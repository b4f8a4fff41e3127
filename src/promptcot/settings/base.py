"""What every section of a recipe is. A field made by `free` changes only speed or looks; every other matters."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]


Positive = Annotated[float, Field(gt=0.0)]


def free(default: Any) -> Any:
    """A field that cannot change the results."""
    return Field(default=default, json_schema_extra={"matters": False})


class Section(BaseModel):
    """Base of all sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def key(self) -> dict[str, Any]:
        """The fields that can change results, as plain values."""
        return _matters(self)


def _matters(section: BaseModel) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, info in type(section).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get("matters") is False:
            continue
        out[name] = _plain(getattr(section, name))
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _matters(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value
