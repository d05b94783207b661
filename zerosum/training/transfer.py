"""Transfer learning: a training starts from what another one has learned; layers of D may stay as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from zerosum.core import discovery, files
from zerosum.core.errors import BadFile, BadOption, ZerosumError
from zerosum.core.settings import from_json, to_json
from zerosum.data.spec import Spec
from zerosum.training import checkpoint
from zerosum.training.game import Game
from zerosum.training.pool import Pool

NAMED = 6
"""Tensors and settings named in a message at most."""
LEAST = 0.1
"""Share of G's weights that has to fit: with less, a tensor or two have the same shape by chance."""


@dataclass(frozen=True)
class Source:
    """What a training starts from."""

    path: Path
    """A run folder, or the folder of a generator."""
    system: str
    config: Any
    """The settings of its system."""
    spec: Spec
    """What it was trained on."""
    tensors: dict[str, Tensor]
    """By the names that they have in the game."""
    whole: bool
    """Whether it has all networks, not the generator alone."""
    facts: dict[str, Any]
    """Its path, system, data and samples shown, for the records of what starts from it."""


def read(path: Path | str, system: str) -> Source:
    """A run folder (its best checkpoint that is kept, else its last), or a folder that a generator was saved to.

    Raises:
        BadFile: there is neither.
        BadOption: it is of another system than `system`.
    """
    path = Path(path)
    source = _read(path)
    if source.system != system:
        raise BadOption(
            f"--from {path} is of the system {source.system}, not {system}: "
            f"`zerosum train {source.system} --from {path}`, or start {system} from one of its own runs."
        )
    return source


def _read(path: Path) -> Source:
    folder = path.parent if path.name == "model.safetensors" else path
    if not folder.exists():
        raise BadFile(f"--from {path} does not exist: give a run folder (runs/...) or the folder of a generator.")
    described = files.read_json(folder / "config.json") if (folder / "config.json").exists() else None
    if isinstance(described, dict) and "command" in described:
        return _run(folder, described)
    if isinstance(described, dict) and described.get("library") == "zerosum":
        return _generator(folder, described)
    raise BadFile(
        f"--from {path} is not a generator: expected a run folder, or a folder with config.json and model.safetensors "
        "as a generator is saved."
    )


def _run(folder: Path, described: dict[str, Any]) -> Source:
    saved = checkpoint.saved(folder)
    if not saved:
        generator = folder / "generator"
        if not (generator / "config.json").exists():
            raise BadFile(f"--from {folder}: this run has neither a checkpoint nor a generator yet.")
        return _generator(generator, files.read_json(generator / "config.json"))
    best = files.read_json(saved[-1] / "progress.json").get("best")
    chosen = next((path for path in saved if best is not None and int(path.name) == best), saved[-1])
    command, data = described.get("command", {}), described.get("data", {})
    config, spec = _settings(folder, command.get("system"), command.get("config"), data.get("spec"))
    tensors, system = checkpoint.networks(chosen), command["system"]
    facts = {"path": str(folder), "system": system, "data": data.get("name"), "samples": int(chosen.name)}
    return Source(folder, system, config, spec, tensors, True, facts | {"fingerprint": data.get("fingerprint")})


def _generator(folder: Path, described: dict[str, Any]) -> Source:
    from safetensors.torch import load_file

    system, facts = described.get("system"), described.get("facts") or {}
    config, spec = _settings(folder, system, described.get("config"), described.get("spec"))
    try:
        tensors = {f"G.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    except Exception as error:  # safetensors raises its own type
        reason = " ".join(str(error).split())
        raise BadFile(f"--from {folder}: model.safetensors cannot be read ({reason}).") from error
    data = facts.get("data") or {}
    about = {"path": str(folder), "system": system, "data": data.get("name"), "samples": facts.get("samples")}
    about |= {"fingerprint": data.get("fingerprint")}
    about |= {name: facts[name] for name in ("licence", "source") if name in facts}  # of weights that were imported
    return Source(folder, str(system), config, spec, tensors, False, about)


def _settings(folder: Path, system: Any, config: Any, spec: Any) -> tuple[Any, Spec]:
    try:
        game_class: Any = discovery.game_class(system)
        return from_json(game_class.Config, config), from_json(Spec, spec)
    except (AttributeError, KeyError, TypeError, ValueError, ZerosumError) as error:
        raise BadFile(
            f"--from {folder}: its config.json cannot be read by this version of zerosum ({error})."
        ) from error


def start(game: Game, source: Source) -> list[str]:
    """Put the weights of `source` into a game that has no seat yet, moving averages for the weights they stand for.

    What the number of classes, of channels, or the resolution makes different starts anew; stages are matched from the
    coarsest on.

    Returns:
        notes: what was taken, and what starts anew.

    Raises:
        BadOption: other settings of the networks, or hardly any of the generator fits.
    """
    found = _with_averages(game, source.tensors)
    theirs = _as_trained(game, source)
    parts = tuple(f"{name}." for name in _networks(game).values() if source.whole or name == "G")
    _refuse_other_settings(theirs, game, source, {n: t for n, t in found.items() if n.startswith(parts)}, parts)
    ours, fixed = game.state_dict(), _constants(theirs, found) if theirs is not game else set()
    # The strength of augmentation goes by the data, and images in a pool are those of another game.
    own = ("augmentation.", *(f"{name}." for name, module in game.named_modules() if isinstance(module, Pool)))
    taken, anew = set(), []
    for name, tensor in ours.items():
        origin = name if theirs is game else _origin(name, game, theirs)
        value = None if name.startswith(own) else found.get(origin)
        if value is not None and value.shape == tensor.shape and origin not in fixed:
            tensor.copy_(value)
            taken.add(name)
        elif name.startswith(parts) and origin not in fixed:
            anew.append(name)
    return _notes(game, theirs, source, parts, taken, anew)


def _networks(game: Game) -> dict[int, str]:
    """id -> name of every network that a player trains."""
    trained = {id(network) for player in game.players.values() for network in player.networks}
    return {id(module): name for name, module in game.named_modules() if id(module) in trained}


def _with_averages(game: Game, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint by the networks' names, moving averages in the place of what they are averages of."""
    names, found = _networks(game), dict(tensors)
    for player_name, player in game.players.items():
        for i, network in enumerate(player.networks):
            prefix = f"{player_name}.averages.{i}."
            for name in [name for name in found if name.startswith(prefix)]:
                found[f"{names[id(network)]}.{name.removeprefix(prefix)}"] = found.pop(name)
    return found


def _as_trained(game: Game, source: Source) -> Game:
    """The game with our settings on the source's data: where it differs from the source, settings do; where it differs
    from `game`, data does.
    """
    config = game.config
    if hasattr(config, "conditional"):
        config = dataclasses.replace(config, conditional=source.config.conditional)
    if config == game.config and source.spec == game.spec:
        return game
    with torch.random.fork_rng(devices=[]):
        return type(game)(config, source.spec)


def _refuse_other_settings(
    theirs: Game, game: Game, source: Source, found: Mapping[str, Tensor], parts: tuple[str, ...]
) -> None:
    """Raise BadOption where the source's tensors are not those that our settings make."""
    wanted = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items() if name.startswith(parts)}
    given = {name: tuple(tensor.shape) for name, tensor in found.items()}
    odd = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
    if not odd:
        return
    tensors = [f"{n} is {given.get(n, 'absent')} there and {wanted.get(n, 'absent')} here" for n in odd]
    there, here = _flat(to_json(source.config)), _flat(to_json(game.config))
    settings = [
        f"{n} {there.get(n, 'absent')} there, {here.get(n, 'absent')} here" for n in here if there.get(n) != here[n]
    ]
    differ = f" Settings that differ: {_listed(settings, '; ')}." if settings else ""
    raise BadOption(f"--from {source.path} does not fit these settings: {_listed(tensors, '; ')}.{differ}")


def _constants(theirs: Game, found: Mapping[str, Tensor]) -> set[str]:
    """Buffers of the source that are as a new game has them, filters for instance: they go with the resolution."""
    buffers = dict(theirs.named_buffers())
    return {n for n, b in buffers.items() if n in found and b.shape == found[n].shape and torch.equal(b, found[n])}


def _origin(name: str, game: Game, theirs: Game) -> str:
    """What a tensor of `game` is called in the source: stages are counted from the coarsest, which is the last one of D
    where it does not say `coarse_first`, and the first one of all other networks.
    """
    network = _submodule(game, name.split(".")[:1])
    if not name.startswith("D") or getattr(network, "coarse_first", False):
        return name
    parts, renamed = name.split("."), list[str]()
    for i, part in enumerate(parts):
        ours = _submodule(game, parts[:i])
        if part.isdigit() and isinstance(ours, nn.Sequential | nn.ModuleList):
            other = _submodule(theirs, renamed)
            if not isinstance(other, nn.Sequential | nn.ModuleList):
                return ""
            part = str(int(part) + len(other) - len(ours))
        renamed.append(part)
    return ".".join(renamed)


def _submodule(module: nn.Module, path: list[str]) -> nn.Module | None:
    for part in path:
        children = dict(module.named_children())
        if part not in children:
            return None
        module = children[part]
    return module


def _notes(
    game: Game, theirs: Game, source: Source, parts: tuple[str, ...], taken: set[str], anew: list[str]
) -> list[str]:
    """What was taken and what not. Raises BadOption where hardly any of G was."""
    shares = {}
    for part in parts:
        sizes = {name: p.numel() for name, p in game.named_parameters() if name.startswith(part)}
        shares[part[:-1]] = sum(sizes[name] for name in sizes if name in taken) / max(sum(sizes.values()), 1)
    if shares.get("G", 1.0) < LEAST:
        raise BadOption(
            f"--from {source.path}: its generator makes {_size(theirs)}, and {shares['G']:.0%} of it fits one for "
            f"{_size(game)}. Give the resolution that it was trained with; only systems whose coarse stages are "
            "equally wide at every resolution (stylegan2, r3gan, progan) can start from another one."
        )
    notes = [f"from {source.path}: " + ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())]
    if not source.whole:
        notes.append("the source is a generator alone: all else starts anew")
    if licence := source.facts.get("licence"):
        notes.append(f"licence of the source: {licence}")
    if anew:
        reasons = {
            "classes": _classes(game) != _classes(theirs),
            "channels": game.spec.shape[:1] != theirs.spec.shape[:1],
            "resolution": game.spec.shape[1:] != theirs.spec.shape[1:],
        }
        other = " and ".join(name for name, differs in reasons.items() if differs)
        notes.append(f"other {other}; these start anew: {_listed(anew, ', ')}")
    return notes


def _classes(game: Game) -> int:
    return game.spec.classes if game.conditional else 0


def _size(game: Game) -> str:
    return " x ".join(map(str, game.spec.shape))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def _listed(items: list[str], separator: str) -> str:
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return separator.join(items[:NAMED]) + more


def freeze(game: Game, count: int) -> None:
    """FreezeD: the `count` layers of D that are nearest to the image stay as they are (Mo et al. 2020,
    arXiv:2002.10964). For a game that has no seat yet.

    Raises:
        BadOption: the game has no discriminator, or none of its layers would be left to learn.
    """
    order = layers(game)
    if not 0 < count < len(order):
        can = f"1 to {len(order) - 1} of its {len(order)} layers can be frozen" if order else "there is none to freeze"
        raise BadOption(f"--freeze-discriminator {count}: of this system's discriminator, {can}.")
    for player in game.players.values():
        player.freeze(*(module for layer in order[:count] for module in layer))


def layers(game: Game) -> list[list[nn.Module]]:
    """The layers and residual blocks of D in the order in which an image passes them, each with its normalisation."""
    D = getattr(game, "D", None)
    if not isinstance(D, nn.Module):
        return []
    batch = {game.spec.key: torch.zeros(4, *game.spec.shape), "label": torch.zeros(4, dtype=torch.int64)}
    if game.spec.source is not None:
        batch["source"] = torch.zeros(4, *game.spec.source)
    with torch.random.fork_rng(devices=[]), _grown(game), _Used() as used:
        game.critique(batch)
    first = {}
    for unit in _units(D):
        moments = [used.moments[id(p)] for p in unit.parameters() if id(p) in used.moments]
        if moments:
            first[unit] = min(moments)
    if not first:  # of a D that joins later on, in the order in which it was made
        first = {unit: moment for moment, unit in enumerate(_units(D))}
    order: list[list[nn.Module]] = []
    for unit in sorted(first, key=first.__getitem__):
        if order and all(parameter.dim() <= 1 for parameter in unit.parameters()):
            order[-1].append(unit)
        else:
            order.append([unit])
    return order


class _Used(TorchFunctionMode):
    """When each parameter is first used; not every network calls the modules that hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: dict[int, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for item in tree_leaves((args, kwargs)):
            if isinstance(item, nn.Parameter):
                self.moments.setdefault(id(item), len(self.moments))
        return func(*args, **(kwargs or {}))


@contextmanager
def _grown(game: Game) -> Iterator[None]:
    """Networks that grow (ProGAN) are at full size inside."""
    growing: list[Any] = [module for module in game.modules() if hasattr(module, "growth")]
    before = [module.growth for module in growing]
    for module in growing:
        module.growth = float(module.levels)
    try:
        yield
    finally:
        for module, growth in zip(growing, before, strict=True):
            module.growth = growth


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """What counts as one layer: the parts of a discriminator, sequences taken apart; embeddings of labels are none."""
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList) or hasattr(child, "features"):
            yield from _units(child)
        elif not isinstance(child, nn.Embedding) and any(True for _ in child.parameters()):
            yield child
