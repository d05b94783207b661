"""Settings (frozen dataclasses) to plain JSON and back."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal

from zerosum.core.errors import BadFile

Auto = Literal["auto"]
"""A setting that a system chooses from what the data looks like, saying why."""


def to_json(value: Any) -> Any:
    """Dataclasses become dictionaries that name their type; tuples become lists; paths become text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def from_json(kind: Any, content: Any) -> Any:
    """Make a value of type `kind` from what `to_json` gave.

    Raises:
        BadFile: a field is missing or unknown.
    """
    kind = _plain(kind)
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, UnionType) else (kind,)
    options = tuple(_plain(option) for option in options)
    if content is None and NoneType in options:
        return None
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(content, dict) and content.get("type") == option.__name__:  # type: ignore[union-attr]
            return _dataclass(option, content)
        if typing.get_origin(option) is tuple and isinstance(content, list):
            arguments = typing.get_args(option)
            kinds = [arguments[0]] * len(content) if arguments[-1] is Ellipsis else arguments
            return tuple(from_json(item_kind, item) for item_kind, item in zip(kinds, content, strict=True))
        if option is Path and isinstance(content, str):
            return Path(content)
    if any(_fits(option, content) for option in options):
        return content
    expected = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise BadFile(f"{json.dumps(content, default=str)[:80]} is not a setting of the kind {expected}.")


def _fits(kind: Any, content: Any) -> bool:
    """Whether plain JSON is a value of `kind` as it stands."""
    if typing.get_origin(kind) is typing.Literal:
        return content in typing.get_args(kind)
    if kind is float:
        return isinstance(content, int | float) and not isinstance(content, bool)
    if kind is int:
        return isinstance(content, int) and not isinstance(content, bool)
    if kind is dict or typing.get_origin(kind) is dict:
        return isinstance(content, dict)
    return kind is Any or (kind in (str, bool, NoneType) and isinstance(content, kind))


def _plain(kind: Any) -> Any:
    """`kind` without Annotated."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _dataclass(kind: Any, content: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = {field.name for field in dataclasses.fields(kind)}
    unknown = set(content) - names - {"type"}
    if unknown:
        named = ", ".join(sorted(unknown))
        raise BadFile(f"{kind.__name__} has no setting called {named}: written by another version of zerosum?")
    values = {}
    for name in names & set(content):
        try:
            values[name] = from_json(hints[name], content[name])
        except BadFile as error:
            raise BadFile(f"{kind.__name__}.{name}: {error}") from error
    return kind(**values)
