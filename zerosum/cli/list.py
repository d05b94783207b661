"""List the systems that can be trained."""

from __future__ import annotations

import dataclasses
import json

from zerosum.core.discovery import systems


@dataclasses.dataclass(frozen=True)
class Options:
    """List the systems that can be trained, by kind of data.

    Example: zerosum list --json
    """

    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> int:
    """`zerosum list`."""
    import tyro

    options = tyro.cli(Options, args=arguments, prog="zerosum list")
    if options.json:
        print(json.dumps([{"name": s.name, "kind": s.kind, "paper": s.summary} for s in systems().values()], indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("system", "data", "paper", box=None, header_style="bold")
    for system in systems().values():
        table.add_row(system.name, system.kind, system.summary)
    Console().print(table)
    return 0
