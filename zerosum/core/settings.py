"""Settings (frozen dataclasses) to plain JSON and back."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from zerosum.core.errors import BadFile


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
    return content


def _plain(kind: Any) -> Any:
    """`kind` without Annotated."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _dataclass(kind: Any, content: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = {field.name for field in dataclasses.fields(kind)}
    unknown = set(content) - names - {"type"}
    if unknown:
        raise BadFile(f"{kind.__name__} has no setting called {', '.join(sorted(unknown))}: written by another version of zerosum?")
    return kind(**{name: from_json(hints[name], content[name]) for name in names & set(content)})
