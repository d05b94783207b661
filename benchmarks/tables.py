"""CTGAN here and the package `ctgan`, in one run: seconds, and what the rows are worth.

    python -m venv runs/rival && runs/rival/bin/pip install ctgan pyarrow
    python -m benchmarks.tables --epochs 30 --seeds 3

Here labels are drawn by a rule, and, to compare, by G as in the package (--label-steps 0). All get the same training
rows, the same columns of categories, the same epochs and batches, one after the other, on a machine that has nothing
else to do. The package is not a dependency: it wants an older pandas, and its licence does not allow every use; so it
runs in an interpreter of its own. Reads tables/*.csv.gz in the folder that ZEROSUM_DATA names.
Encoding is all from a DataFrame to what training starts from; an epoch, the rounds (here "whole" has the start, health
checks and checkpoints, too, which the package does not have); sampling, 100,000 rows to a DataFrame (the median of
three). Rows are judged by `zerosum.metrics.tables`: as many synthetic as training rows, a tenth held out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import zerosum
from benchmarks.common import RESULTS, keep
from zerosum.core.errors import BadOption
from zerosum.data import Data, Dataset, load
from zerosum.data.tables.columns import Categories
from zerosum.gans.tables.ctgan import Config
from zerosum.health.evidence import read_lines
from zerosum.metrics.tables.scores import BASELINES, evaluate_tables
from zerosum.training.loop import Run

TARGETS = {"adult": "income", "credit_default": "default.payment.next.month", "king_county_houses": "price"}
OURS = {"zerosum": Config(), "zerosum --label-steps 0": Config(label_steps=0)}
SCORES = (
    "shapes",
    "pairs",
    "variation",
    "rare_error",
    "rare_vanished",
    "detection_auc",
    "auc",
    "linear_auc",
    "r2",
    "linear_r2",
)


def main() -> None:
    """Train both on each table and seed; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rival", type=Path, default=Path("runs/rival/bin/python"), help="an interpreter with ctgan")
    parser.add_argument("--folder", type=Path, default=Path("runs/tables"))
    given = parser.parse_args()
    if not given.rival.exists():
        raise BadOption(f"{given.rival} is not there: python -m venv runs/rival && runs/rival/bin/pip install ctgan")
    for table in given.tables:
        new = measured(table, given)
        kept = RESULTS / "tables.json"
        rows = json.loads(kept.read_text()) if kept.exists() else []
        rows = [row for row in rows if (row["data"], row["protocol"]["epochs"]) != (table, given.epochs)]
        keep("tables", [*rows, *new])


def measured(table: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each of them, on one table, over all seeds."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in OURS} | {"ctgan": []}
    baselines: dict[str, dict[str, float]] | None = None
    for seed in range(given.seeds):
        for name in found:
            folder = given.folder / f"{table}-{given.epochs}-{name.replace(' ', '-')}-{seed}"
            result = folder / "measured.json"
            if not result.exists():
                asked = (table, seed, folder, given, baselines)
                one = ours(*asked, OURS[name]) if name in OURS else theirs(*asked)
                result.write_text(json.dumps(one, indent=2) + "\n")
            one = json.loads(result.read_text())
            baselines = one["baselines"]
            found[name].append(one)
            print(table, name, seed, one["seconds"], one["values"], flush=True)
    command = f"python -m benchmarks.tables --epochs {given.epochs} --seeds {given.seeds} --tables {table}"
    protocol = {"epochs": given.epochs, "batch_size": 500, "threads": torch.get_num_threads(),
                "rows": found["ctgan"][0]["rows"], "columns": found["ctgan"][0]["columns"]}  # fmt: skip
    rows = [
        {
            "system": name.replace(name.split()[0], f"{name.split()[0]} {runs[0]['version']}"),
            "values": gathered(runs, "values") | gathered(runs, "seconds", ", s"),
        }
        for name, runs in found.items()
    ]
    for name, values in (baselines or {}).items():
        rows.append({"system": BASELINES[name], "values": {key: [values[key]] for key in SCORES if key in values}})
    return [{**row, "data": table, "command": command, "protocol": protocol} for row in rows]


def gathered(runs: list[dict[str, Any]], kind: str, unit: str = "") -> dict[str, list[float]]:
    """Each number of several runs as a list, its unit behind its name."""
    return {f"{name}{unit}": [run[kind][name] for run in runs] for name in runs[0][kind]}


def source(table: str) -> pd.DataFrame:
    """A table as a frame."""
    folder = os.environ.get("ZEROSUM_DATA")
    if not folder:
        raise BadOption(f"set ZEROSUM_DATA to the folder that holds tables/{table}.csv.gz.")
    return pd.read_csv(Path(folder) / "tables" / f"{table}.csv.gz", skipinitialspace=True)


def read(table: str) -> tuple[Dataset, float]:
    """The data set of a table, and the seconds that reading the frame and encoding it took."""
    frame = source(table)
    began = time.perf_counter()
    data = load(frame, Data(target=TARGETS[table]))
    return data, time.perf_counter() - began


def ours(
    table: str, seed: int, folder: Path, given: argparse.Namespace, baselines: dict[str, dict[str, float]] | None,
    config: Config,
) -> dict[str, Any]:  # fmt: skip
    """Train CTGAN here."""
    data, encode = read(table)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder=folder / "run", seed=seed)
    began = time.perf_counter()
    config = replace(config, epochs=given.epochs)
    generator = zerosum.train("ctgan", data, config=config, run=run, features="none", quiet=True)
    whole = (time.perf_counter() - began) / given.epochs
    epoch = float(read_lines(run.folder)[-1]["seconds"]) / given.epochs  # type: ignore[arg-type]
    generator.sample(1000)
    seconds = []
    for number in range(3):
        began = time.perf_counter()
        generator.sample(100_000, seed=number)
        seconds.append(time.perf_counter() - began)
    spent = {"encode": encode, "epoch": epoch, "whole epoch": whole, "sample_100k": sorted(seconds)[1]}
    made = generator.sample(len(data.train), seed=seed)
    return judged(data, made, baselines) | {"seconds": spent, "version": zerosum.__version__}


def theirs(
    table: str, seed: int, folder: Path, given: argparse.Namespace, baselines: dict[str, dict[str, float]] | None
) -> dict[str, Any]:
    """Train the package's CTGAN on the same rows."""
    data, _ = read(table)
    folder.mkdir(parents=True, exist_ok=True)
    frame = data.train.frame()  # type: ignore[attr-defined]
    columns = data.encoding.columns  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for column in frame.columns:  # it knows plain dtypes alone
            if frame[column].dtype.kind not in "iufb":
                frame[column] = frame[column].astype(object)
        frame.to_parquet(place / "train.parquet")
        job = {
            "train": str(place / "train.parquet"), "out": str(place / "made.parquet"), "seed": seed,
            "times": str(place / "times.json"), "epochs": given.epochs, "batch_size": 500, "rows": len(frame),
            "categories": [column.name for column in columns if isinstance(column.content, Categories)],
            "threads": torch.get_num_threads(),
        }  # fmt: skip
        (place / "job.json").write_text(json.dumps(job))
        script = Path(__file__).parent / "rival_ctgan.py"
        subprocess.run([str(given.rival), str(script), str(place / "job.json")], check=True)
        made, times = pd.read_parquet(place / "made.parquet"), json.loads((place / "times.json").read_text())
    return judged(data, made, baselines) | times


def judged(data: Dataset, made: pd.DataFrame, baselines: dict[str, dict[str, float]] | None) -> dict[str, Any]:
    """The scores of synthetic rows."""
    train, test = data.train.frame(), data.test.frame()  # type: ignore[attr-defined, union-attr]
    scores = evaluate_tables(train, test, made, data.encoding, baselines=baselines)  # type: ignore[arg-type]
    values = {name: scores.values[name] for name in SCORES if name in scores.values}
    return {"values": values, "baselines": scores.baselines, "rows": len(train), "columns": len(train.columns)}


if __name__ == "__main__":
    main()
