"""Weights of other projects as zerosum's generators."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zerosum.core import discovery
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.settings import to_json
from zerosum.interop.arrays import shown
from zerosum.interop.containers import read
from zerosum.interop.foreign import Network, networks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zerosum.data.spec import Spec
    from zerosum.training.generator import TrainedGenerator

SIDES = (8, 4096)
"""Pixels, at least and at most, of an image's sides."""


@dataclass(frozen=True)
class Imported:
    """A foreign generator in zerosum's terms."""

    config: Any
    """The system's Config, from which its game makes a network of the same shape."""
    spec: Spec
    """What its images look like."""
    tensors: dict[str, Tensor]
    """The state of the network, by the names that zerosum gives."""
    layout: str
    """Whose file this is, for people."""
    licence: str
    """What is known about what may be done with the weights."""


def formats() -> dict[str, ModuleType]:
    """The systems whose weights can be imported, found by the names of files."""
    here = Path(__file__).parent
    return {
        name: importlib.import_module(f"zerosum.interop.{name}")
        for name in discovery.systems()
        if (here / f"{name}.py").exists()
    }


def read_weights(file: Path | str, system: str | None = None) -> TrainedGenerator:
    """Read another project's weights. Nothing that the file contains is run.

    Args:
        file: NVIDIA's pickles of StyleGAN2, StyleGAN2-ADA and StyleGAN3; R3GAN's; the .pth of CycleGAN, pix2pix, CUT,
            ESRGAN and Real-ESRGAN; state dicts with their names as .pt, .pth or .safetensors.
        system: which system they are of; None: found out.

    Raises:
        BadFile: it cannot be read, or zerosum has no network that would make the same images.
        BadOption: they are another system's weights.

    Example:
        >>> read_weights("ffhq.pkl").save("ffhq/")
    """
    found = networks(read(Path(file)))
    name, network = _recognised(found, None if system is None else discovery.find(system).name)
    try:
        return generator_of(name, formats()[name].convert(network), network)
    except (BadFile, BadOption) as error:
        raise BadFile(f"{file} cannot be imported as {name}: {str(error).rstrip('.')}.") from None
    except (LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:  # shapes that do not fit
        reason = f"{type(error).__name__}: {shown(str(error))}"
        raise BadFile(f"{file} cannot be imported as {name}: its tensors do not make a network ({reason}).") from error


def _recognised(found: Network, system: str | None) -> tuple[str, Network]:
    """The system and the network to import."""
    path, known = found.content.path, formats()
    if system is not None and system not in known:
        raise BadOption(f"--as {system}: no weights of {system} can be imported, only those of {', '.join(known)}.")
    matches = {name: network for name, module in known.items() if (network := found.under(module.ANCHOR))}
    if system is None and len(matches) > 1:
        matches = {name: network for name, network in matches.items() if _likely(known[name], network)} or matches
    if system in matches or (system is None and len(matches) == 1):
        name = system or next(iter(matches))
        return name, matches[name]
    if system is not None and matches:
        raise BadOption(f"--as {system}: {path} looks like {' or '.join(matches)}; leave --as out, or say so.")
    if matches:
        raise BadOption(f"{path} holds networks of {' and '.join(matches)}: say which with --as.")
    for module in known.values():
        if hasattr(module, "other") and (what := module.other(found)) is not None:
            raise BadFile(f"{path} holds no generator, which alone can be imported, but {what}.")
    names = ", ".join(list(found.arrays)[:4])
    held = f"it has {len(found.arrays):,} tensors called {names} ..." if names else "it has no tensors"
    raise BadFile(f"{path} holds no generator of {', '.join(known)}: {held}")


def _likely(module: ModuleType, network: Network) -> bool:
    return not hasattr(module, "likely") or bool(module.likely(network))


def generator_of(system: str, imported: Imported, network: Network) -> TrainedGenerator:
    """The trained generator, with all that its model card has to say.

    Raises:
        BadFile: the tensors are not those of the network that the config makes.
    """
    from zerosum.data.encodings import ImageEncoding
    from zerosum.training.translator import Translator

    game_class: Any = discovery.game_class(system)
    spec, content = imported.spec, network.content
    generator: TrainedGenerator = game_class(imported.config, spec).trained()
    if generator.latent.size < 1 and not isinstance(generator, Translator):
        raise BadFile(f"its first layer leaves {generator.latent.size} components for z")
    check(imported.tensors, generator.network.state_dict())
    if not all(bool(value.isfinite().all()) for value in imported.tensors.values()):
        raise BadFile("it has weights that are not finite: the training that made them had diverged")
    generator.network.load_state_dict(imported.tensors)
    generator.encoding = ImageEncoding(spec) if spec.shape[0] in (1, 3, 4) else None
    generator.facts = {
        "system": system,
        "paper": discovery.find(system).summary,
        "config": to_json(imported.config),
        "source": {
            "file": content.path.name, "sha256": content.sha256, "network": network.within, "layout": imported.layout,
        },
        "licence": imported.licence,
    }  # fmt: skip
    return generator


def rebuilt(
    network: Network, layout: ModuleType, make: Callable[..., nn.Module]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What to call zerosum's network with, and its tensors.

    Args:
        layout: knows the reference's names and what its tensors tell (reference_arguments, reference_names).
        make: makes the network.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    stored = network.tensors()
    arguments = layout.reference_arguments(stored)
    tensors = renamed(stored, layout.reference_names(stored).get)
    fits(lambda: make(**arguments), tensors)
    return arguments, tensors


def fits(make: Callable[[], nn.Module], tensors: dict[str, Tensor]) -> None:
    """Compare tensors with those of the network that `make` makes, before that takes any memory: a small file can ask
    for a very large one.

    Raises:
        BadFile: a name or a shape differs.
    """
    import torch

    with torch.device("meta"):
        wanted = make().state_dict()
    check(tensors, wanted)


def image_spec(channels: int, height: int, width: int, classes: int) -> Spec:
    """What the images look like.

    Raises:
        BadFile: they are too small or too large for zerosum's networks.
    """
    from zerosum.data.spec import Spec

    least, most = SIDES
    if not (least <= height <= most and least <= width <= most):
        raise BadFile(f"its images have {width} x {height} pixels; zerosum's networks make {least} to {most} a side")
    return Spec((channels, height, width), classes)


def check(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Compare the names and shapes of tensors. Raises BadFile with the first few that differ."""
    odd = [f"{name} is missing" for name in wanted if name not in given]
    odd += [f"{name} is of no use here" for name in given if name not in wanted]
    odd += [
        f"{name} has the shape {tuple(given[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    ]
    if odd:
        more = f", and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise BadFile(f"{', '.join(odd[:3])}{more}")


def renamed(tensors: dict[str, Tensor], rename: Callable[[str], str | None]) -> dict[str, Tensor]:
    """Tensors by new names.

    Args:
        rename: old name -> new name; "": the tensor is not needed; None: not known.

    Raises:
        BadFile: a name is not known, and so neither is what the tensor does.
    """
    found = {name: rename(name) for name in tensors}
    unknown = [name for name, new in found.items() if new is None]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise BadFile(f"zerosum's network has nothing that does what its {', '.join(unknown[:3])}{more} do")
    return {new: tensors[name] for name, new in found.items() if new}
