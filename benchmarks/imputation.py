"""What is lost of tables and filled in again: systems of zerosum beside the mean, nearest neighbours, chained linear
regressions and chained forests, on several masks and for three ways in which cells get lost.

    python -m benchmarks.imputation
    python -m benchmarks.imputation --tables letter --mechanisms mcar --ways mean iterative gain --seeds 5

Tables are those of ZEROSUM_DATA/tables; of tables with more than --rows rows, but for letter, so many are drawn at
random, once. A fifth of the cells is lost. Every way sees the holed table alone (transductively, as in GAIN's paper)
and fills it in. Numbers: root mean squared error of lost cells, each column scaled by its true range; categories: the
share that is wrong. Trainings last as many rounds as their settings say, so that a busy machine changes no result.
Results are kept after each filling; a benchmark that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.common import RESULTS, machine, real_data
from zerosum.core import discovery, randomness
from zerosum.core.settings import to_json
from zerosum.data.options import Table
from zerosum.data.spec import Dataset
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.reading import read_table
from zerosum.data.tables.store import TableStore
from zerosum.metrics.imputation import errors, hide, is_number, realism
from zerosum.metrics.tables import simple_imputers
from zerosum.metrics.tables.simple_imputers import DONORS, Numeric
from zerosum.training import loop
from zerosum.training.arena import Arena, has_bf16
from zerosum.training.imputer import Imputer
from zerosum.training.loop import Run

CATEGORICAL = {
    "letter": (), "adult": (), "german_credit": ("21",),
    "credit_default": ("SEX", "EDUCATION", "MARRIAGE", "default.payment.next.month"),
    "king_county_houses": ("waterfront", "zipcode"),
}  # fmt: skip
"""Columns of numbers that are names of categories."""
DROPPED = {"credit_default": ["ID"]}
MECHANISMS = ("mcar", "mar", "mnar")
SHARE = 0.2
NAME = "imputation"


def main() -> None:
    """Fill in, mask by mask, table by table, way by way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=CATEGORICAL, default=["letter", "adult", "credit_default"])
    parser.add_argument("--mechanisms", nargs="+", choices=MECHANISMS, default=list(MECHANISMS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=5, help="masks: seeds 1, 2 ...")
    parser.add_argument("--rows", type=int, default=10_000)
    given = parser.parse_args()
    for seed in range(1, given.seeds + 1):
        for name in given.tables:
            truth = table(name, given.rows)
            for mechanism in given.mechanisms:
                lost = hide(truth, mechanism, SHARE, seed=seed)
                for way in given.ways:
                    one(name, mechanism, seed, way, truth, lost)
    print(summary())


def table(name: str, rows: int) -> pd.DataFrame:
    """A table: numbers as floats, categories as text."""
    path = real_data("mnist").parent.parent / "tables" / f"{name}.csv.gz"
    frame = read_table(path, Table(headless=name == "german_credit", missing=("?",))).frame
    frame = frame.drop(columns=DROPPED.get(name, []))
    if name != "letter" and len(frame) > rows:
        frame = frame.sample(rows, random_state=0).reset_index(drop=True)
    columns = {}
    for column in frame.columns:
        if is_number(frame[column]) and column not in CATEGORICAL[name]:
            columns[column] = frame[column].astype("float64")
        else:
            columns[column] = frame[column].astype("string").astype(object).where(frame[column].notna(), None)
    return pd.DataFrame(columns)


def one(name: str, mechanism: str, seed: int, way: str, truth: pd.DataFrame, lost: np.ndarray) -> None:
    """Fill in once and keep what came of it, unless that is done already."""
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    key = {"table": name, "mechanism": mechanism, "seed": seed, "way": way}
    if any(all(row[part] == value for part, value in key.items()) for row in rows):
        return
    start = time.perf_counter()
    filled = WAYS[way](truth.mask(lost), seed)
    row = key | {name: {**errors(truth, made, lost), **kept(truth, made, lost)} for name, made in filled.items()}
    row |= {"seconds": round(time.perf_counter() - start, 1), "rows": len(truth), "hardware": machine()}
    rows = json.loads(path.read_text()) if path.exists() else []
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([*rows, row], indent=1) + "\n")
    print(name, mechanism, seed, way, {key: row[key] for key in filled}, row["seconds"], flush=True)


def kept(truth: pd.DataFrame, made: pd.DataFrame, lost: np.ndarray) -> dict[str, float]:
    """How real what was filled in looks, numbers rounded as those of the table are."""
    rounded = made.copy()
    for name in made.columns:
        if is_number(truth[name]) and (truth[name].dropna() % 1 == 0).all():
            rounded[name] = made[name].round()
    return realism(truth, rounded, lost)


# -- ways -------------------------------------------------------------------------------------------------------------


def mean(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """The mean, or the most frequent category."""
    return {"best": simple_imputers.mean(frame)}


def knn(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """The five nearest of `DONORS` rows, by scikit-learn."""
    from sklearn.impute import KNNImputer

    numeric = Numeric(frame)
    donors = np.random.default_rng(seed).permutation(len(frame))[:DONORS]
    imputer = KNNImputer(n_neighbors=5, keep_empty_features=True).fit(numeric.x[donors])
    return {"best": numeric.back(imputer.transform(numeric.x))}


def iterative(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Scikit-learn's IterativeImputer as it comes (Bayesian ridge, ten rounds), categories as one-hots."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    numeric = Numeric(frame)
    with warnings.catch_warnings(action="ignore"):  # that it has not converged after ten rounds
        filled = IterativeImputer(random_state=seed, keep_empty_features=True).fit_transform(numeric.x)
    return {"best": numeric.back(filled)}


def chained(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Chained regressions."""
    return {"best": simple_imputers.chained(frame, seed)}


def forest(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """MissForest (Stekhoven and Buehlmann 2012): forests of 20 trees, learned on `DONORS` rows, three rounds over the
    columns, those with the fewest missing cells first.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    made = mean(frame, seed)["best"]
    codes = {name: pd.factorize(made[name], sort=True) for name in made.columns if not is_number(made[name])}
    x = np.stack([codes[name][0] if name in codes else made[name].to_numpy() for name in made.columns], 1).astype(float)
    missing = frame.isna().to_numpy()
    draw = np.random.default_rng(seed)
    for _ in range(3):
        for j in np.argsort(missing.sum(0), kind="stable"):
            if not missing[:, j].any():
                continue
            kind: Any = RandomForestClassifier if frame.columns[j] in codes else RandomForestRegressor
            others, own = np.delete(x, j, 1), draw.permutation(np.flatnonzero(~missing[:, j]))[:DONORS]
            fitted = kind(20, max_features="sqrt", random_state=seed).fit(others[own], x[own, j])
            x[missing[:, j], j] = fitted.predict(others[missing[:, j]])
    for j, name in enumerate(made.columns):
        made[name] = codes[name][1].to_numpy()[x[:, j].astype(int)] if name in codes else x[:, j]
        made[name] = made[name].astype(frame[name].dtype)
    return {"best": made}


def trained(frame: pd.DataFrame, system: str, config: Any, scaling: Any, seed: int) -> Imputer:
    """A system, trained on the holed table as long as its settings say. For GAIN all numbers are continuous, as in its
    paper; else kinds are found out, so that numbers with few values are levels in order.
    """
    kinds = {name: "continuous" for name in frame.columns if is_number(frame[name]) and system == "gain"}
    others = {name: "categorical" for name in frame.columns if not is_number(frame[name])}
    encoding = TableEncoding.fit(frame, kinds=kinds | others, scaling=scaling)
    store = TableStore(encoding, *encoding.compact(frame))
    randomness.reseed(seed, "build")
    game = discovery.game_class(system)(config, encoding.spec)
    facts = {"system": system, "config": to_json(config)}
    arena = Arena(precision="bf16" if has_bf16(torch.device("cpu")) and system != "gain" else "fp32")
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset("table", encoding.spec, encoding, store, None, "", [])
        imputer = loop.train(game, dataset, Run(seed=seed), Path(folder), (), facts, arena)
    assert isinstance(imputer, Imputer)
    return imputer


def gain(preset: str | None = None) -> Callable[[pd.DataFrame, int], dict[str, pd.DataFrame]]:
    """GAIN with the paper's settings, or those of a preset."""

    def way(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
        module = discovery.load("gain")
        config = module.PRESETS[preset] if preset else module.Config()
        imputer = trained(frame, "gain", config, "range", seed)
        return {"best": imputer.impute(frame, rounded=False), "draw": imputer.impute(frame, draws=True, seed=seed)}

    return way


def masked(preset: str | None = None) -> Callable[[pd.DataFrame, int], dict[str, pd.DataFrame]]:
    """The masked imputer with its own settings, or those of a preset."""

    def way(frame: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
        module = discovery.load("masked_imputer")
        config = module.PRESETS[preset] if preset else module.Config()
        imputer = trained(frame, "masked_imputer", config, SCALING, seed)
        return {"best": imputer.impute(frame, rounded=False), "draw": imputer.impute(frame, draws=True, seed=seed)}

    return way


SCALING = "modes"
WAYS: dict[str, Callable[[pd.DataFrame, int], dict[str, pd.DataFrame]]] = {
    "mean": mean, "masked_imputer": masked(), "masked_imputer:no-adversary": masked("no-adversary"),
    "iterative": iterative, "gain": gain(), "gain:no-adversary": gain("no-adversary"), "chained": chained,
    "forest": forest, "knn": knn,
}  # fmt: skip


def summary() -> str:
    """Means over masks, a line for each table, mechanism and way."""
    found = pd.DataFrame(json.loads((RESULTS / f"{NAME}.json").read_text()))
    lines = []
    for (name, mechanism, way), group in found.groupby(["table", "mechanism", "way"], sort=False):
        values = pd.DataFrame(list(group["best"])).agg(["mean", "std"])
        shown = ", ".join(f"{key} {values[key]['mean']:.4f} +- {values[key]['std']:.4f}" for key in values)
        lines.append(f"{name} {mechanism} {way}: {shown} ({len(group)} masks)")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
