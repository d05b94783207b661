"""What the package `ctgan` takes and makes: run by `benchmarks.tables` with an interpreter that has it.

    PYTHON benchmarks/rival_ctgan.py JOB.json

The job names the training rows (a Parquet file), the columns of categories, epochs, batch size, seed, rows to sample,
and where synthetic rows and times go.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Fit, sample, and write rows and seconds."""
    import ctgan
    import numpy as np
    import pandas as pd
    import torch
    from ctgan.data_transformer import DataTransformer

    job = json.loads(Path(sys.argv[1]).read_text())
    frame = pd.read_parquet(job["train"])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    np.random.seed(job["seed"])
    spent = {"encode": 0.0}

    def timed(method: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            result = method(*given, **named)
            spent["encode"] += time.perf_counter() - began
            return result

        return call

    DataTransformer.fit = timed(DataTransformer.fit)
    DataTransformer.transform = timed(DataTransformer.transform)
    model = ctgan.CTGAN(epochs=job["epochs"], batch_size=job["batch_size"], verbose=False)
    began = time.perf_counter()
    model.fit(frame, discrete_columns=job["categories"])
    spent["epoch"] = (time.perf_counter() - began - spent["encode"]) / job["epochs"]
    model.sample(1000)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        model.sample(100_000)
        seconds.append(time.perf_counter() - began)
    spent["sample_100k"] = sorted(seconds)[1]
    model.sample(job["rows"]).to_parquet(job["out"])
    Path(job["times"]).write_text(json.dumps({"seconds": spent, "version": ctgan.__version__}))


if __name__ == "__main__":
    main()
