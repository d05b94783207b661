"""Finding systems by the name of their file: `zerosum/gans/images/dcgan.py` is the system `dcgan`.

Listing reads the source alone (no import, so no torch); `load` imports the one module that is asked for.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from zerosum.core.errors import BadOption


@dataclass(frozen=True)
class System:
    """A published system: its name, the kind of data it is for, and its file's docstring."""

    name: str
    kind: str
    module: str
    path: Path
    docstring: str

    @property
    def summary(self) -> str:
        """The first line of the docstring: title, authors, year and identifier of the paper."""
        return self.docstring.strip().splitlines()[0] if self.docstring.strip() else ""


@cache
def systems() -> dict[str, System]:
    """Every system, sorted by kind of data and name."""
    found = {}
    root = Path(__file__).parent.parent / "gans"
    for path in sorted(root.glob("*/*.py")):
        if path.stem.startswith("_"):
            continue
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        kind = path.parent.name
        found[path.stem] = System(path.stem, kind, f"zerosum.gans.{kind}.{path.stem}", path, docstring)
    return found


def find(name: str) -> System:
    """The system called `name`, or an error with the nearest names."""
    key = name.lower().replace("-", "_")
    known = systems()
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise BadOption(f"there is no system called {name!r}. {hint}`zerosum list` shows all of them.")


def load(name: str) -> ModuleType:
    """Import the module of the system called `name`."""
    return importlib.import_module(find(name).module)


def game_class(name: str) -> type:
    """The one Game sub-class that the system's module defines."""
    module = load(name)
    games = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and hasattr(value, "round")
        and hasattr(value, "Config")
    ]
    if len(games) != 1:
        raise BadOption(
            f"{module.__name__} must define exactly one Game with a Config; found {[g.__name__ for g in games]}."
        )
    return games[0]
