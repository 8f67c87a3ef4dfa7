"""A mapping that a user writes, strictly read: what is wrong with it is said at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nssi_bayes.errors import SpecError, did_you_mean

__all__ = ["Strict", "parse"]


class Strict(BaseModel):
    """A frozen mapping in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse[T: BaseModel](kind: type[T], content: Mapping[str, Any], *, where: str) -> T:
    """Validate `content` and say all that is wrong with it at once.

    Parameters
    ----------
    kind : type of pydantic.BaseModel
        What `content` should be.
    content : mapping
        As read from YAML.
    where : str
        The file, for the message.

    Returns
    -------
    pydantic.BaseModel
        An instance of `kind`.

    Raises
    ------
    SpecError
        With every unknown key (and the closest known one) and every wrong value.
    """
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                known = _keys_at(kind, item["loc"][:-1])
                problems.append(f"unknown key {key!r}. {did_you_mean(str(item['loc'][-1]), known)}")
            else:
                text = item["msg"].removeprefix("Value error, ")
                problems.append(f"{key or 'the file'}: {text}")
        raise SpecError(problems, where=where, cure="mend these keys in the file") from error


def _keys_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    model: Any = kind
    for part in loc:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return list(getattr(model, "model_fields", {}))
