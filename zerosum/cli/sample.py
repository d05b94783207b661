"""Draw samples from a trained generator: PNG files and a grid, or one npz."""

from __future__ import annotations

import dataclasses
import difflib
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from zerosum.core.errors import BadOption


@dataclasses.dataclass(frozen=True)
class Options:
    """Draw samples from a trained generator; the same seed gives the same samples, bit for bit.

    Example: zerosum sample runs/dcgan-digits-20260101-1 -n 64 --seed 1 --out samples/
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder, or a generator's folder."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """How many."""
    seed: int = 0
    """Decides which."""
    class_: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Only this class, by number or name (class-conditional generators)."""
    truncation: float = 1.0
    """Below 1: more typical, less varied."""
    out: Path = Path("samples")
    """A folder for PNG files and grid.png, or a file ending in .npz."""
    json: bool = False
    """Print what was written as JSON."""


def main(arguments: list[str]) -> int:
    """`zerosum sample`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum sample")
    from zerosum import api

    generator = api.load(options.run)
    given = None if options.class_ is None else {"label": class_number(options.class_, generator)}
    samples = generator.sample(options.n, given=given, seed=options.seed, truncation=options.truncation)
    written = write(samples, options.out, generator)
    print(
        json.dumps({"files": [str(path) for path in written], "seed": options.seed})
        if options.json
        else f"wrote {options.n} samples to {options.out}"
    )
    return 0


def class_number(text: str, generator: Any) -> int:
    """A class by its number or name."""
    names = generator.class_names
    if not generator.conditional:
        raise BadOption(
            f"--class {text}: this generator is not class-conditional; train cgan, sagan or sngan --conditional."
        )
    if text in names:
        return names.index(text)
    if text.lstrip("-").isdigit():
        return int(text)
    near = difflib.get_close_matches(text, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise BadOption(
        f"--class {text}: there is no such class.{hint} The classes are {', '.join(names) or 'numbered from 0'}."
    )


def write(samples: Any, out: Path, generator: Any) -> list[Path]:
    """Images as PNG files with a grid, or everything in one npz."""
    import io

    import numpy as np

    from zerosum.core.files import write_bytes
    from zerosum.training.pictures import grid, save

    if out.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, samples=np.stack([np.asarray(sample) for sample in samples]))
        write_bytes(out, buffer.getvalue())
        return [out]
    if out.suffix:
        raise BadOption(f"--out {out}: expected a folder, or a file that ends in .npz.")
    if generator.spec.kind != "image":
        raise BadOption(f"--out {out}: {generator.spec.kind} are written to a file that ends in .npz.")
    paths = [out / f"{i:06d}.png" for i in range(len(samples))]
    for path, image in zip(paths, samples, strict=True):
        save(image, path)
    save(grid(samples[:100]), out / "grid.png")
    return [*paths, out / "grid.png"]
