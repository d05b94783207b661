"""A million rows of thirty columns: seconds and memory of reading, encoding and an epoch of CTGAN.

    python -m benchmarks.large_table

Made from tables/adult.csv.gz in the folder that ZEROSUM_DATA names: rows drawn with repetition, numbers with a little
noise, every column twice, the second time with a tenth of its cells drawn anew.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import zerosum
from benchmarks.common import keep
from zerosum.core.errors import BadOption
from zerosum.data import Data, load
from zerosum.gans.tables.ctgan import Config
from zerosum.training.loop import Run


def main() -> None:
    """Make, read, train; the result is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.parquet"
        pid = os.fork()  # so that the memory for making the table does not count
        if pid == 0:
            made(given.rows).to_parquet(path)
            os._exit(0)
        os.waitpid(pid, 0)
        began = time.perf_counter()
        data = load(path, Data(target="income"))
        read = time.perf_counter() - began
        began = time.perf_counter()
        run = Run(folder=Path(name) / "run")
        zerosum.train("ctgan", data, config=Config(epochs=1), run=run, features="none", quiet=True)
        epoch = time.perf_counter() - began
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    columns = len(data.encoding.columns)  # type: ignore[attr-defined]
    values = {"read and encode, s": read, "epoch, s": epoch, "GB": gigabytes}
    print({name: round(value, 2) for name, value in values.items()}, f"{len(data.train):,} x {columns}")
    row = {"system": "ctgan", "data": f"a table of {given.rows:,} x {columns}", "values": values}
    keep("large_table", [{**row, "command": f"python -m benchmarks.large_table --rows {given.rows}"}])


def made(rows: int) -> pd.DataFrame:
    """The table."""
    folder = os.environ.get("ZEROSUM_DATA")
    if not folder:
        raise BadOption("set ZEROSUM_DATA to the folder that holds tables/adult.csv.gz.")
    adult = pd.read_csv(Path(folder) / "tables" / "adult.csv.gz", skipinitialspace=True)
    draw = np.random.default_rng(0)
    frame = adult.iloc[draw.integers(0, len(adult), rows)].reset_index(drop=True)
    for column in frame.select_dtypes("number"):
        noise = np.rint(draw.normal(0.0, frame[column].std() / 20, rows)).astype(np.int64)
        frame[column] = (frame[column] + noise * (frame[column] != 0)).clip(lower=0)
    second = frame.add_suffix("_2")
    for column in second:
        anew = draw.random(rows) < 0.1
        second.loc[anew, column] = draw.permutation(second[column].to_numpy())[anew]
    return pd.concat([frame, second], axis=1)


if __name__ == "__main__":
    main()
