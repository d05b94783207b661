"""Imputers as scikit-learn's estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.gans.games import table
from zerosum.core.errors import BadData, BadOption
from zerosum.imputers import GAINImputer, MaskedImputer

SMALL = {
    "gain": GAINImputer(rounds=2, batch_size=8, random_state=0),
    "masked": MaskedImputer(
        rounds=2, adversarial_rounds=1, batch_size=8, width=8, layers=1, bins=8, random_state=0
    ),
}  # fmt: skip


@pytest.fixture(params=SMALL.values(), ids=SMALL.keys())
def imputer(request: pytest.FixtureRequest) -> Any:
    return clone(request.param)


@parametrize_with_checks(list(SMALL.values()))
def test_is_an_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def holed(n: int = 40) -> np.ndarray:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n, 4))
    X[:, 3] = draw.integers(0, 3, n)
    X[draw.random(X.shape) < 0.2] = np.nan
    X[0, 0] = 1.0
    return X


def test_arrays(imputer: Any) -> None:
    X = holed()
    filled = imputer.fit_transform(X)
    assert isinstance(filled, np.ndarray) and filled.dtype == X.dtype and not np.isnan(filled).any()
    assert np.array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    assert np.array_equal(filled, clone(imputer).fit(X).transform(X))
    assert imputer.transform(X.astype(np.float32)).dtype == np.float32
    assert len(imputer.imputations(X, 2)) == 2
    assert not np.array_equal(*imputer.imputations(X, 2))
    with pytest.raises(ValueError, match="X has 3 features"):
        imputer.transform(X[:, :3])
    with pytest.raises(ValueError, match="infinity"):
        imputer.fit(np.where(np.isnan(X), np.inf, X))


def test_frames_of_every_kind(imputer: Any) -> None:
    frame = table().set_index(pd.Index(range(5, 45)))
    filled = imputer.fit(frame).transform(frame)
    assert isinstance(filled, pd.DataFrame) and not filled.isna().any(axis=None)
    assert filled.dtypes.equals(frame.dtypes) and filled.index.equals(frame.index)
    assert filled["ratio"].equals(frame["ratio"])
    assert list(imputer.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        imputer.transform(frame.rename(columns={"ratio": "quota"}))
    with pytest.raises(BadData, match="'ratio' is continuous"):
        imputer.transform(frame.assign(ratio="half"))


def test_arrays_of_objects(imputer: Any) -> None:
    X = table()[["amount", "sort"]].to_numpy()
    filled = imputer.fit_transform(X)
    assert filled.dtype == object and not pd.isna(filled).any()
    assert set(filled[:, 1]) == {"red", "green", "blue"}


def test_columns_of_numbers_can_be_categories(imputer: Any) -> None:
    X = holed()
    filled = imputer.set_params(categorical=[3]).fit_transform(X)
    assert set(filled[:, 3]) <= {0.0, 1.0, 2.0}
    assert imputer.imputer_.table.columns[3].kind == "categorical"
    with pytest.raises(BadOption, match="categorical names the column 'seven'"):
        imputer.set_params(categorical=["seven"]).fit(X)


def test_numbers_are_continuous_for_gain_alone() -> None:
    kinds = {name: clone(own).fit(holed()).imputer_.table.columns[3].kind for name, own in SMALL.items()}
    assert kinds == {"gain": "continuous", "masked": "ordinal"}


def test_pipelines_and_pandas_output(imputer: Any) -> None:
    X = holed()
    model = make_pipeline(imputer, Ridge()).fit(X, np.arange(len(X)))
    assert model.predict(X).shape == (len(X),)
    shown = imputer.set_output(transform="pandas").fit_transform(X)
    assert list(shown.columns) == ["x0", "x1", "x2", "x3"]


def test_what_cannot_be_learned_stays() -> None:
    X = np.column_stack([holed(), np.full(40, np.nan), np.full(40, 2.0)])
    filled = clone(SMALL["gain"]).fit_transform(X)
    assert np.isnan(filled[:, 4]).all() and not np.isnan(np.delete(filled, 4, 1)).any()
    assert (filled[:, 5] == 2.0).all()
