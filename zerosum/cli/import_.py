"""Turn other projects' weights (NVIDIA's StyleGANs, R3GAN) into a generator."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from zerosum.core.errors import BadOption


@dataclasses.dataclass(frozen=True)
class Options:
    """Turn other projects' weights into a generator's folder. Nothing that the file contains is run.

    Example: zerosum import stylegan2-ffhq-256x256.pkl --as stylegan2 --out generators/ffhq
    """

    file: Annotated[Path, tyro.conf.Positional]
    """NVIDIA's .pkl of StyleGAN2, StyleGAN2-ADA or StyleGAN3, R3GAN's, or a state dict (.pt, .pth, .safetensors)."""
    out: Path
    """A new folder: `zerosum sample`, `zerosum edit` and zerosum.load read it."""
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

    _say(f"reading {options.file} (none of its code is run)")
    generator = api.import_weights(options.file, options.system)
    facts, spec = generator.facts, generator.spec
    source = facts["source"]
    classes = f", {spec.classes} classes" if generator.conditional else ""
    within = f" ({source['network']})" if source["network"] else ""
    _say(f"found {source['layout']}{within}: images of {'x'.join(map(str, spec.shape))}{classes}")
    _say(f"writing {options.out}")
    generator.save(options.out)
    _say(f"licence: {facts['licence']}")
    if options.json:
        size = sum(value.numel() for value in generator.network.parameters())
        print(json.dumps({
            "system": facts["system"], "out": str(options.out), "shape": spec.shape, "classes": spec.classes,
            "parameters": size, "config": facts["config"], "source": source, "licence": facts["licence"],
        }))  # fmt: skip
    else:
        print(f"wrote {options.out}: try `zerosum sample {options.out} -n 16 --out samples/`")
    return 0


def _say(text: str) -> None:
    """Progress goes to standard error: standard output holds the result alone."""
    print(text, file=sys.stderr, flush=True)
