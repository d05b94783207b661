"""Draw samples from a trained generator: PNG files and a grid, one npz, or a table."""

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

    Example: zerosum sample runs/ctgan-customers-20260101-1 -n 1000 --given sex=Female --given 'age>60' --out b.csv
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder, or a generator's folder."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """How many."""
    seed: int = 0
    """Decides which."""
    class_: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Only this class, by number or name (class-conditional generators)."""
    given: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Tables: only rows that fulfil this, such as sex=Female, 'age>60' or 'city!=Bonn'; may be repeated."""
    balance: str | None = None
    """Tables: every category of this column equally often."""
    truncation: float = 1.0
    """Below 1: more typical, less varied."""
    out: Path | None = None
    """A folder for PNG files and grid.png, or a file ending in .npz; of tables a file: .csv, .tsv (also .gz), .parquet,
    .feather or .arrow (default: samples, or samples.csv)."""
    json: bool = False
    """Print what was written as JSON."""


def main(arguments: list[str]) -> int:
    """`zerosum sample`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum sample")
    from zerosum import api

    generator = api.load(options.run)
    out, written = (table if generator.spec.kind == "table" else images)(options, generator)
    print(
        json.dumps({"files": [str(path) for path in written], "seed": options.seed})
        if options.json
        else f"wrote {options.n:,} samples to {out}"
    )
    return 0


def images(options: Options, generator: Any) -> tuple[Path, list[Path]]:
    """Write images (or points); what was asked for, and the files."""
    if options.given or options.balance:
        raise BadOption("--given and --balance are for tables; images of one class: --class NAME.")
    out = options.out or Path("samples")
    given = None if options.class_ is None else {"label": class_number(options.class_, generator)}
    samples = generator.sample(options.n, given=given, seed=options.seed, truncation=options.truncation)
    return out, write(samples, out, generator)


def table(options: Options, generator: Any) -> tuple[Path, list[Path]]:
    """Write rows in the dialect of the text file that the generator learned from; the file, twice."""
    from zerosum.data.tables.dialect import WRITTEN, write_table

    out = options.out or Path("samples.csv")
    if options.class_ is not None:
        raise BadOption(f"--class {options.class_}: this generator makes tables; ask for rows: --given column=value.")
    if not out.name.lower().endswith(WRITTEN):
        raise BadOption(f"--out {out}: tables are written as {', '.join(WRITTEN)}.")
    asked = {"balance": options.balance} if options.balance else {}
    rows = generator.sample(
        options.n, given=list(options.given), seed=options.seed, truncation=options.truncation, **asked
    )
    write_table(rows, out, generator.encoding.dialect)
    return out, [out]


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
