"""Turn other projects' weights (StyleGAN, R3GAN, BigGAN, CycleGAN, pix2pix, CUT, ESRGAN) into a generator."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from zerosum.core.errors import BadOption

if TYPE_CHECKING:
    from zerosum.training.generator import TrainedGenerator


@dataclasses.dataclass(frozen=True)
class Options:
    """Turn other projects' weights into a generator's folder. Nothing that the file contains is run.

    Example: zerosum import stylegan2-ffhq-256x256.pkl --as stylegan2 --out generators/ffhq
    """

    file: Annotated[Path, tyro.conf.Positional]
    """NVIDIA's .pkl of StyleGAN2, StyleGAN2-ADA or StyleGAN3, R3GAN's, the .pth of CycleGAN, pix2pix, CUT, ESRGAN or
    Real-ESRGAN, or a state dict (.pt, .pth, .safetensors).
    """
    out: Path
    """A new folder: zerosum.load reads it, and `zerosum sample` and `edit`, or `zerosum translate`."""
    system: Annotated[str | None, tyro.conf.arg(name="as")] = None
    """Which system the weights are of; by default what the file looks like."""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> int:
    """`zerosum import`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum import")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise BadOption(f"--out {options.out} exists and is not an empty folder: name another one.")
    from zerosum import api
    from zerosum.training.translator import Translator

    _say(f"reading {options.file} (none of its code is run)")
    generator = api.import_weights(options.file, options.system)
    translator = generator if isinstance(generator, Translator) else None
    facts, spec = generator.facts, generator.spec
    source = facts["source"]
    within = f" ({source['network']})" if source["network"] else ""
    _say(f"found {source['layout']}{within}: {told(generator)}; imported as {facts['system']}")
    _say(f"writing {options.out}")
    generator.save(options.out)
    _say(f"licence: {facts['licence']}")
    if options.json:
        size = sum(value.numel() for value in generator.network.parameters())
        print(json.dumps({
            "system": facts["system"], "out": str(options.out), "shape": spec.shape, "classes": spec.classes,
            "parameters": size, "config": facts["config"], "source": source, "licence": facts["licence"],
            "translates": translator and {"channels": translator.source[0], "scale": translator.scale},
        }))  # fmt: skip
    elif translator:
        print(f"wrote {options.out}: try `zerosum translate {options.out} photos/ --out translated/`")
    else:
        print(f"wrote {options.out}: try `zerosum sample {options.out} -n 16 --out samples/`")
    return 0


def told(generator: TrainedGenerator) -> str:
    """What a generator makes, in a few words."""
    from zerosum.training.translator import Translator

    channels, height, width = generator.spec.shape
    if isinstance(generator, Translator):
        larger = f", {generator.scale} times as large" if generator.scale > 1 else ""
        return f"images of any size, {generator.source[0]} channels to {channels}{larger}"
    classes = f", {generator.spec.classes} classes" if generator.conditional else ""
    return f"images of {channels}x{height}x{width}{classes}"


def _say(text: str) -> None:
    """Progress goes to standard error: standard output holds the result alone."""
    print(text, file=sys.stderr, flush=True)
