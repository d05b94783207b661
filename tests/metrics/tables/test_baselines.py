"""Independent columns and the Gaussian copula: dtypes, margins, correlations, missing cells, constraints."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers, sheets
from zerosum.core.errors import BadOption
from zerosum.data import Data, load
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.baselines import GaussianCopula, IndependentColumns, normal_scores
from zerosum.metrics.tables.pairs import pair_trends
from zerosum.metrics.tables.shapes import column_shapes


def everything(n: int) -> pd.DataFrame:
    """A column of each kind, some with missing cells."""
    draw = np.random.default_rng(0)
    frame = customers(n).assign(
        when=pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 900, n), "D"),
        size=pd.Categorical(draw.choice(["s", "m", "l"], n), ["s", "m", "l"], ordered=True),
        count=pd.array(draw.integers(0, 500, n), dtype="Int64"),
        ok=draw.random(n) < 0.2,
        number=np.arange(n) + 1,
        country="nowhere",
    )
    frame.loc[draw.random(n) < 0.3, ["spent", "count"]] = None
    frame.loc[draw.random(n) < 0.2, "when"] = pd.NaT
    frame.loc[draw.random(n) < 0.2, "size"] = None
    return frame


@pytest.mark.parametrize("kind", [IndependentColumns, GaussianCopula])
def test_samples_look_like_the_table(kind: type[IndependentColumns | GaussianCopula]) -> None:
    frame = everything(3000)
    encoding = TableEncoding.fit(frame)
    fitted = kind().fit(frame, encoding)
    made = fitted.sample(2500, seed=1)
    assert made.shape == (2500, frame.shape[1]) and (made.dtypes == frame.dtypes).all()
    assert made.number.is_unique and (made.country == "nowhere").all()
    assert all(shape.score > 0.95 and shape.missing > 0.97 for shape in column_shapes(*sheets(frame, made)))
    assert made.equals(fitted.sample(2500, seed=1)) and not made.equals(fitted.sample(2500, seed=2))
    with pytest.raises(BadOption, match="0 rows were asked for"):
        fitted.sample(0)


def test_the_copula_keeps_correlations_and_independent_columns_do_not() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 4000))
    frame = pd.DataFrame({"x": x, "z": np.exp(0.8 * x + 0.6 * y), "b": x + y > 1, "c": np.where(x > 0.5, "u", "v")})
    frame.loc[y > 1, "x"] = np.nan  # what is missing hangs together with the rest, too
    encoding = TableEncoding.fit(frame)
    copula = GaussianCopula().fit(frame, encoding).sample(4000)
    apart = IndependentColumns().fit(frame, encoding).sample(4000)
    real, tied, loose = sheets(frame, copula, apart)
    assert pair_trends(real, tied).mean > 0.95 > 0.9 > pair_trends(real, loose).mean
    assert copula[["x", "z"]].corr("spearman").iloc[0, 1] == pytest.approx(0.8, abs=0.1)
    gone = copula.x.isna()
    assert copula.z[gone].median() > 1.5 * copula.z[~gone].median()


def test_tables_that_are_hard_on_a_copula() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=300)
    same = pd.DataFrame({"a": x, "b": x, "c": -x, "d": 2 * x})  # correlations without an inverse
    made = GaussianCopula().fit(same, TableEncoding.fit(same)).sample(500)
    assert made.corr("spearman").abs().to_numpy().min() > 0.9
    for odd in (same[["a"]], same[:2], pd.DataFrame({"c": ["a", None, "b"], "x": [None, 1.5, None]})):
        made = GaussianCopula().fit(odd, TableEncoding.fit(odd)).sample(20)
        assert len(made) == 20 and (made.dtypes == odd.dtypes).all()


def test_a_column_that_is_empty_in_the_rows_that_are_fitted() -> None:
    frame = customers(100)
    frame.loc[:79, "spent"] = np.nan
    encoding = TableEncoding.fit(frame)
    assert GaussianCopula().fit(frame[:80], encoding).sample(10).spent.isna().all()


def test_constraints_are_repaired() -> None:
    draw = np.random.default_rng(0)
    low = draw.integers(0, 500, 800)
    frame = pd.DataFrame({"low": low, "high": low + draw.integers(0, 300, 800)})
    encoding = TableEncoding.fit(frame, constraints=("low <= high",))
    for kind in (IndependentColumns, GaussianCopula):
        made = kind().fit(frame, encoding).sample(500)
        assert (made.low <= made.high).all()


def test_normal_scores() -> None:
    many = normal_scores(np.random.default_rng(0).normal(size=5000))
    assert many.mean() == pytest.approx(0, abs=1e-9) and many.std() == pytest.approx(1, abs=0.01)
    two = normal_scores(np.array([0.0, 1.0, np.nan, 0.0, 1.0]))
    assert two[[0, 1]].tolist() == pytest.approx([-((2 / np.pi) ** 0.5), (2 / np.pi) ** 0.5]) and np.isnan(two[2])


@pytest.mark.skipif("ZEROSUM_DATA" not in os.environ, reason="ZEROSUM_DATA is not set")
def test_fitting_adult_takes_a_moment() -> None:
    data = load(Path(os.environ["ZEROSUM_DATA"]) / "tables" / "adult.csv.gz", Data(target="income"))
    frame = data.train.frame()
    start = time.process_time()
    made = GaussianCopula().fit(frame, data.encoding).sample(len(frame))
    assert time.process_time() - start < 2
    real, own = sheets(frame, made, encoding=data.encoding)
    assert np.mean([shape.score for shape in column_shapes(real, own)]) > 0.99
    assert pair_trends(real, own).mean > 0.935
