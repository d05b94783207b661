"""Networks of other projects as their files hold them: the names of tensors, the settings stored beside them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zerosum.core.errors import BadFile
from zerosum.interop import names
from zerosum.interop.arrays import Array, shown
from zerosum.interop.containers import Content
from zerosum.interop.pickles import Record

if TYPE_CHECKING:
    from torch import Tensor

PARTS = 200_000
"""Modules, tensors and settings in a file."""
LONG = 500
"""Letters of a name."""
DEEP = 32
"""Modules in modules."""
AVERAGED = re.compile(r"ema|Gs|averag", re.IGNORECASE)
"""What the names of moving averages have in common; they make the better images."""


@dataclass
class Network:
    """One network, or all that are in a file.

    Attributes:
        content: the file.
        arrays: dotted name -> tensor.
        settings: dotted name of a module -> its attributes, and the arguments that it was made with.
        within: where in the file it was, "G_ema" for instance.
    """

    content: Content
    arrays: dict[str, Array] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    within: str = ""

    def under(self, anchor: str) -> Network | None:
        """The network that has a tensor whose name matches `anchor` (a regular expression); of several the average.

        None: there is none.
        """
        pattern = re.compile(rf"(?:(.+)\.)?(?:{anchor})")
        prefixes = {match[1] or "" for name in self.arrays if (match := pattern.fullmatch(name))}
        if not prefixes:
            return None
        best = min(prefixes, key=lambda prefix: (not AVERAGED.search(prefix), len(prefix), prefix))
        start = f"{best}." if best else ""
        return Network(
            self.content,
            {name.removeprefix(start): value for name, value in self.arrays.items() if name.startswith(start)},
            {f"{name}.".removeprefix(start).rstrip("."): value for name, value in self.settings.items()
             if f"{name}.".startswith(start)},
            best,
        )  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all tensors, those of floating point as float32.

        Raises:
            BadFile: together they are far larger than the file.
        """
        total = sum(array.nbytes for array in self.arrays.values())
        if total > 2 * self.content.size:
            raise BadFile(f"its tensors unfold into {total:,} bytes, far more than the file's {self.content.size:,}")
        empty = [name for name, array in self.arrays.items() if 0 in array.shape]
        if empty:
            raise BadFile(f"its {empty[0]} has no elements")
        copies = {name: array.tensor() for name, array in self.arrays.items()}
        return {name: value.float() if value.is_floating_point() else value for name, value in copies.items()}

    def told(self, module: str, setting: str) -> Any:
        """A setting of a module, or of the nearest one around it that knows it; None: the file does not tell."""
        while True:
            found = self.settings.get(module, {}).get(setting)
            if found is not None or not module:
                return found
            module = module.rpartition(".")[0]

    def require(self, modules: str, setting: str, expected: Any) -> None:
        """Check a setting of the modules whose names match, wherever it is told.

        Raises:
            BadFile: it is another one, which would give other images.
        """
        for module, settings in self.settings.items():
            if re.fullmatch(modules, module) and not _same(settings.get(setting, expected), expected):
                name = ".".join(filter(None, [self.within, module, setting]))
                raise BadFile(
                    f"{name} is {shown(settings[setting])}, where zerosum's network has {shown(expected)}: "
                    "it would make other images"
                )


def _same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return isinstance(value, int | float) and math.isclose(value, expected, rel_tol=1e-5)
    return (list(value) if isinstance(value, tuple) else value) == expected


def networks(content: Content) -> Network:
    """All networks in a file, as one whose names begin with those that the file gives them.

    Raises:
        BadFile: modules are nested too deep, or there are too many.
    """
    root = content.root
    if isinstance(root, tuple) and len(root) == 3 and all(_is_tensorflow(part) for part in root):
        root = dict(zip(("G", "D", "Gs"), root, strict=True))
    walk = _Walk(content)
    walk.visit(root, "", 0)
    return walk.whole


def _is_tensorflow(value: Any) -> bool:
    return isinstance(value, Record) and value.name == names.TENSORFLOW


class _Walk:
    """Through all that a file holds, counting steps: what is stored once can be referred to very often."""

    def __init__(self, content: Content):
        self.whole, self.left = Network(content), PARTS

    def visit(self, value: Any, name: str, depth: int) -> None:
        """Add what `value`, called `name`, holds."""
        if depth > DEEP:
            raise BadFile(f"{self.whole.content.path}: its networks are nested more than {DEEP} deep: forged?")
        if isinstance(value, names.NumpyArray):
            value = value.array
        if isinstance(value, Array):
            self.whole.arrays[name] = value
        elif _is_tensorflow(value):
            self.tensorflow(value.state or {}, name, depth)
        elif isinstance(value, Record):
            self.module(value.state or {}, name, depth)
        elif isinstance(value, dict):
            for key, item in self.named(value).items():
                self.visit(item, joined(name, key), depth + 1)

    def module(self, state: dict[str, Any], name: str, depth: int) -> None:
        """A PyTorch module: parameters, buffers, sub-modules; everything else is a setting."""
        settings, arguments = self.whole.settings, self.named(state.get("_init_kwargs"))
        for key, value in arguments.items():
            if key.endswith("_kwargs"):  # mapping_kwargs are those of the module called mapping
                part = joined(name, key.removesuffix("_kwargs"))
                settings[part] = {**self.named(value), **settings.get(part, {})}
        attributes = {key: value for key, value in self.named(state).items() if not key.startswith("_")}
        settings[name] = {**settings.get(name, {}), **arguments, **attributes}
        for group in ("_parameters", "_buffers", "_modules"):
            for key, value in self.named(state.get(group)).items():
                self.visit(value, joined(name, key), depth + 1)

    def tensorflow(self, state: dict[str, Any], name: str, depth: int) -> None:
        """A network of dnnlib.tflib: variables, and components, networks themselves; names have slashes."""
        settings = {"version": state.get("version"), **self.named(state.get("static_kwargs"))}
        self.whole.settings[name] = {**settings, **self.whole.settings.get(name, {})}
        variables = state.get("variables")
        variables = variables if isinstance(variables, list) else []
        self.left -= len(variables)
        for pair in variables:
            match pair:
                case (str(key), value):
                    self.visit(value, name + key if name.endswith("/") else joined(name, key), depth + 1)
        for key, component in self.named(state.get("components")).items():
            self.visit(component, f"{joined(name, key)}/", depth + 1)

    def named(self, value: Any) -> dict[str, Any]:
        """What a dictionary holds under names; nothing where it is none."""
        if not isinstance(value, dict):
            return {}
        self.left -= 1 + len(value)
        if self.left < 0 or any(isinstance(key, str) and len(key) > LONG for key in value):
            raise BadFile(f"{self.whole.content.path}: it has more than {PARTS:,} parts, or endless names: forged?")
        return {key: item for key, item in value.items() if isinstance(key, str)}


def joined(name: str, key: str) -> str:
    """A name inside a named thing."""
    return f"{name}.{key}" if name else key
