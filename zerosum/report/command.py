"""The command that a run's config.json stands for, as it could be typed again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

UNPREFIXED = {"run.on_illness": "on-illness", "start_from": "from"}
WITHIN = {"data.table": "data."}
"""Groups of settings whose options stand among those of the group around them."""


def written(command: Any) -> str:
    """The resolved command as text: every setting that is on, those of the networks last, as they must be typed."""
    if isinstance(command, list):
        return shlex.join(map(str, command))
    if not isinstance(command, Mapping):
        return str(command)
    words = ["zerosum", "train", str(command.get("system", "?")), "--data", str(command.get("data", "?"))]
    config = {name: value for name, value in _mapping(command.get("config")).items() if name != "networks"}
    words += _options(config, "", keep_off=True)
    words += _options(_mapping(command.get("options")), "data.")
    words += _options(_mapping(command.get("run")), "run.")
    named = ("system", "data", "config", "options", "run", "networks", "augment")
    words += _options({name: v for name, v in command.items() if name not in named}, "")
    if augment := _mapping(command.get("augment")):
        words += ["--augment", str(augment.get("type")).lower(), *_options(augment, "augment.")]
    if networks := _mapping(_mapping(command.get("config")).get("networks")):
        words += [f"networks:{str(networks.get('type')).lower()}", *_options(networks, "networks.", keep_off=True)]
    return shlex.join(words)


def _options(settings: Mapping[str, Any], prefix: str, *, keep_off: bool = False) -> Iterator[str]:
    """Settings as options; those that are None only where None is not the usual default (`keep_off`)."""
    for name, value in settings.items():
        if name == "type" or (value is None and not keep_off) or value == []:
            continue
        option = UNPREFIXED.get(f"{prefix}{name}", f"{prefix}{name}").replace("_", "-")
        if isinstance(value, Mapping):
            yield from _options(value, WITHIN.get(f"{prefix}{name}", f"{prefix}{name}."), keep_off=keep_off)
        elif isinstance(value, bool):
            before, _, last = option.rpartition(".")
            yield "--" + (before + "." if before else "") + ("" if value else "no-") + last
        else:
            yield f"--{option}"
            yield from map(str, value if isinstance(value, list) else [value])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
