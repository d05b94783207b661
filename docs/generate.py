"""Pages that are made, never typed: one per system from its source, and the results from benchmarks/results/*.json.

Run by mkdocs-gen-files while the documentation is built. The systems' files are parsed, not imported.

A results file holds one row or a list of rows:
    {"system": "dcgan", "data": "digits", "command": "python -m benchmarks ...", "values": {"fd": [12.1, 11.8, 12.6]},
     "floor": {"fd": 3.0}, "protocol": {...}, "hardware": "...", "note": "..."}
A value is a number, a list with one number per seed (shown as mean ± standard deviation), or {"mean": ..., "std": ...}.
Peers and simple baselines stand in the same files, with their name as "system".
"""

from __future__ import annotations

import ast
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import mkdocs_gen_files

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from zerosum.core.discovery import System, systems  # noqa: E402

Row = dict[str, Any]
NONE_YET = "No results yet: `make bench` makes them.\n"


def cell(text: str) -> str:
    """Text that can stand in a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def rows() -> list[Row]:
    """Every row of every results file, in the order of file names."""
    found: list[Row] = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        own = gathered(content) if path.name == "imputation.json" else content
        found += [{"source": path.name, **row} for row in (own if isinstance(own, list) else [own])]
    return found


def gathered(cells: list[Row]) -> list[Row]:
    """The rows of the benchmark of imputation, one for each mask, as one for all masks."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for one in cells:
        groups.setdefault((one["table"], one["mechanism"], str(one["rows"]), one["way"]), []).append(one)
    return [
        {
            "system": way, "data": f"{table}, missing cells: {mechanism}", "protocol": {"rows": rows, "seeds": "masks"},
            "hardware": group[0]["hardware"], "command": f"python -m benchmarks.imputation --tables {table}",
            "values": {name: [one["best"][name] for one in group] for name in group[0]["best"]},
        }
        for (table, mechanism, rows, way), group in groups.items()
    ]  # fmt: skip


def number(value: Any) -> str:
    """A value, or mean ± standard deviation over seeds."""
    if isinstance(value, dict):
        return f"{number(value['mean'])} ± {number(value['std'])}"
    if isinstance(value, list):
        if len(value) == 1:
            return f"{number(value[0])} (1 seed)"
        return f"{number(statistics.mean(value))} ± {number(statistics.stdev(value))} ({len(value)} seeds)"
    return "–" if value is None else f"{value:.4g}"


def results_table(found: list[Row]) -> str:
    """One table per data set and protocol: only rows that may be compared stand together."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        key = (str(row.get("data", "")), json.dumps(row.get("protocol", {}), sort_keys=True))
        groups.setdefault(key, []).append(row)
    return "\n".join(group_table(data, json.loads(protocol), group) for (data, protocol), group in groups.items())


def group_table(data: str, protocol: dict[str, Any], group: list[Row]) -> str:
    """The rows that share data and protocol, with the protocol and the commands below them."""
    scores = list(dict.fromkeys(name for row in group for name in row.get("values", {})))
    floor = next((row["floor"] for row in group if row.get("floor")), {})
    lines = [f"### {data}", "", "| system | " + " | ".join(scores) + " | note |", "|---" * (len(scores) + 2) + "|"]
    for row in group:
        values = " | ".join(number(row.get("values", {}).get(name)) for name in scores)
        lines.append(f"| {cell(str(row['system']))} | {values} | {cell(str(row.get('note', '')))} |")
    if floor:
        lines.append("| *floor (real against real)* | " + " | ".join(number(floor.get(s)) for s in scores) + " | |")
    commands = dict.fromkeys(f"`{row['command']}`" for row in group if row.get("command"))
    hardware = dict.fromkeys(str(row["hardware"]) for row in group if row.get("hardware"))
    lines += ["", '??? note "Protocol and commands"', ""]
    lines += [f"    - {cell(str(name))}: {cell(str(value))}" for name, value in protocol.items()]
    lines += [f"    - made by {command}" for command in commands] + [
        f"    - on {cell(machine)}" for machine in hardware
    ]
    return "\n".join(lines) + "\n"


def settings_table(tree: ast.Module) -> str:
    """The fields of the system's Config: option, default, meaning."""
    config = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config"), None)
    if config is None:
        return ""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for field, after in zip(config.body, [*config.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        meaning = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        default = cell(ast.unparse(field.value)) if field.value else "required"
        lines.append(f"| `--{field.target.id.replace('_', '-')}` | `{default}` | {cell(str(meaning))} |")
    return "\n".join(lines) + "\n"


def presets(tree: ast.Module) -> str:
    """The presets of the system, if it has any."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "PRESETS"
            and isinstance(node.value, ast.Dict)
        ):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            lines = [f"| `{ast.literal_eval(k)}` | `{cell(ast.unparse(v))}` |" for k, v in pairs if k is not None]
            return "\n".join(["## Presets", "", "| preset | settings |", "|---|---|", *lines, ""])
    return ""


def system_page(system: System, found: list[Row]) -> str:
    """The page of one system: what it is, how to train it, its settings, what it reached."""
    tree = ast.parse(system.path.read_text(encoding="utf-8"))
    own = [row for row in found if row.get("system") == system.name]
    parts = [
        f"# {system.name}",
        system.docstring,
        f"```console\nzerosum train {system.name} --data digits\nzerosum train {system.name} --help\n```",
        f"## Settings\n\n{settings_table(tree)}",
        presets(tree),
        f"## Results\n\n{results_table(own) if own else NONE_YET}",
        f"Source: `{system.path.relative_to(ROOT).as_posix()}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def overview() -> str:
    """The list of all systems."""
    lines = [
        "# Systems",
        "",
        "Each is one file, which reads like its paper.",
        "",
        "| system | for | paper |",
        "|---|---|---|",
    ]
    lines += [f"| [{s.name}]({s.name}.md) | {s.kind} | {cell(s.summary)} |" for s in systems().values()]
    return "\n".join(lines) + "\n"


def results_page(found: list[Row]) -> str:
    """All results."""
    intro = (
        "Made from `benchmarks/results/*.json` when this page is built; no number here was typed. Only rows with "
        "the same data and protocol stand in one table. Peers and simple baselines stand beside ours, and results that "
        "fall short stay in.\n"
    )
    return f"# Results\n\n{intro}\n{results_table(found) if found else NONE_YET}"


def write(path: str, text: str) -> None:
    """A page of the documentation."""
    with mkdocs_gen_files.open(path, "w") as file:
        file.write(text)


everything = rows()
write("results.md", results_page(everything))
write("tasks/add-a-system.md", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
write("systems/index.md", overview())
for each in systems().values():
    write(f"systems/{each.name}.md", system_page(each, everything))
