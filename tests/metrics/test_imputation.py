"""How cells are lost, and how far off filled-in ones are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zerosum.core.errors import BadData, BadOption
from zerosum.metrics.imputation import errors, hide, is_number, realism


def frame(n: int = 4000) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    group = draw.integers(0, 3, n)
    made = pd.DataFrame({f"x{j}": draw.normal(group, 1.0) for j in range(6)})
    return made.assign(sort=np.array(["a", "b", "c"])[group], sure=draw.random(n) < 0.5)


@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
def test_as_many_cells_are_lost_as_asked_for(mechanism: str) -> None:
    table = frame()
    table.loc[:9, "x0"] = np.nan
    lost = hide(table, mechanism, 0.2, seed=1)
    assert np.array_equal(lost, hide(table, mechanism, 0.2, seed=1))
    assert not np.array_equal(lost, hide(table, mechanism, 0.2, seed=2))
    assert not lost[:10, 0].any()  # what is not there cannot be lost
    shares = lost.mean(0)
    losing = shares > 0
    assert losing.sum() == (6 if mechanism == "mar" else 8)
    assert shares[losing] == pytest.approx(0.2, abs=0.03)


def correlation(lost: np.ndarray, values: np.ndarray) -> float:
    return abs(np.corrcoef(lost, values)[0, 1])


def test_mechanisms_are_what_they_are_called() -> None:
    table = frame(20_000)
    own = {name: hide(table, name, 0.2, seed=3) for name in ("mcar", "mar", "mnar")}
    x = table["x0"].to_numpy()
    assert correlation(own["mnar"][:, 0], x) > 0.25
    assert correlation(own["mcar"][:, 0], x) < 0.03
    observed = [j for j in range(8) if not own["mar"][:, j].any()]
    losing = next(j for j in range(8) if j not in observed)
    codes = table.apply(lambda column: column if is_number(column) else pd.factorize(column)[0]).astype(float)
    dependent = max(correlation(own["mar"][:, losing], codes.iloc[:, j].to_numpy()) for j in observed)
    assert dependent > 0.1
    # Given what it depends on, a cell is lost whatever is in it: the same table with other cells loses the same ones.
    other = table.copy()
    other.iloc[:, losing] = other.iloc[::-1, losing].to_numpy()
    assert np.array_equal(hide(other, "mar", 0.2, seed=3)[:, losing], own["mar"][:, losing])
    assert not np.array_equal(hide(other, "mnar", 0.2, seed=3)[:, losing], own["mnar"][:, losing])


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(BadOption, match=r"1\.5 of the cells"):
        hide(frame(10), share=1.5)
    with pytest.raises(BadOption, match="there is no mechanism 'nmar'; there are mcar, mar, mnar"):
        hide(frame(10), "nmar")  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="two at least"):
        hide(frame(10)[["x0"]], "mar")


def test_errors_by_hand() -> None:
    truth = pd.DataFrame({"x": [0.0, 5.0, 10.0, 2.0], "y": [1, 2, 3, 3], "z": ["a", "b", "a", "b"]})
    filled = pd.DataFrame({"x": [1.0, 5.0, 10.0, 4.0], "y": [1, 2, 2, 3], "z": ["b", "b", "a", "b"]})
    lost = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=bool)
    found = errors(truth, filled, lost)
    assert found["rmse"] == pytest.approx(((0.1**2 + 0.0 + 0.5**2) / 3) ** 0.5)
    assert found["error"] == pytest.approx(0.5)
    named = errors(truth, filled, lost, categorical=["y"])
    assert named["rmse"] == pytest.approx((0.1**2 / 2) ** 0.5)
    assert named["error"] == pytest.approx(2 / 3)
    assert errors(truth[["x"]], filled[["x"]], lost[:, :1]).keys() == {"rmse"}
    assert errors(truth, filled, np.zeros_like(lost)) == {}
    with pytest.raises(BadData, match="column 'x' still has 1 missing cells"):
        errors(truth, truth.mask(lost & [True, False, False]).fillna({"x": np.nan}).assign(x=[np.nan, 5, 10, 2]), lost)
    with pytest.raises(BadData, match="are not of one"):
        errors(truth, filled[["x"]], lost)


def test_realism_prefers_draws_to_means() -> None:
    table = frame(2000)
    lost = hide(table, seed=1)
    draw = np.random.default_rng(1)
    means, draws = table.copy(), table.copy()
    for j, name in enumerate(table.columns):
        own = table[name][~lost[:, j]]
        number = name.startswith("x")
        means.loc[lost[:, j], name] = own.mean() if number else own.mode()[0]
        draws.loc[lost[:, j], name] = draw.choice(own.to_numpy(), int(lost[:, j].sum()))
    found = {name: realism(table, made, lost) for name, made in (("true", table), ("draws", draws), ("means", means))}
    assert found["true"] == {"shape": 0.0, "detection": pytest.approx(0.5, abs=0.08)}
    assert found["true"]["shape"] < found["draws"]["shape"] < 0.1 < 0.4 < found["means"]["shape"]
    assert found["draws"]["detection"] + 0.1 < found["means"]["detection"]
