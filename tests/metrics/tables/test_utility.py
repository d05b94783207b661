"""Training on one table and testing on another: classes, numbers, and where nothing can be learned."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers, sheets, shuffled
from zerosum.core.errors import BadOption
from zerosum.metrics.tables import utility as measured
from zerosum.metrics.tables.models import LEVELS, Inputs
from zerosum.metrics.tables.utility import classification_scores, regression_scores, utility


@pytest.fixture(autouse=True)
def strict() -> None:
    warnings.simplefilter("error")


def test_rows_that_hang_together_teach_and_shuffled_ones_do_not() -> None:
    frame, test = customers(1500), customers(500, 1)
    good, bad, held = sheets(frame, shuffled(frame), test)
    # Not by the AUC: where one column alone decides, noise puts the rows in order, or in reverse order.
    for target, score in (("churn", "accuracy"), ("churn", "linear_accuracy"), ("spent", "r2"), ("spent", "linear_r2")):
        real, made = (utility(sheet, held, target).values[score] for sheet in (good, bad))
        assert real > made + 0.15 and (target == "churn" or made < 0.1)
    assert utility(good, held, "churn").values["auc"] > 0.9
    assert utility(good, held, "churn") == utility(good, held, "churn")


def test_several_classes_and_missing_cells() -> None:
    frame, test = customers(800), customers(300, 1)
    holes = np.random.default_rng(0).random(800) < 0.3
    frame.loc[holes, ["plan", "spent", "churn"]] = None
    train, held = sheets(frame, test)
    result = utility(train, held, "plan")
    assert result.values["auc"] > 0.65 and not result.notes


def test_one_class_is_the_worst_but_no_accident() -> None:
    frame, test = customers(300), customers(200, 1)
    train, held = sheets(frame, frame.assign(churn="yes"), test)[1:]
    result = utility(train, held, "churn")
    assert result.values["auc"] == result.values["linear_auc"] == 0.5
    assert result.values["accuracy"] == pytest.approx((test.churn == "yes").mean())
    assert result.notes == ("churn: all rows have the same class, so that nothing can be learned from it",)


def test_no_class_and_no_value_at_all() -> None:
    frame, test = customers(300), customers(200, 1)
    empty = frame.assign(churn=None, spent=np.nan)
    train, held = sheets(frame, empty, test)[1:]
    none = utility(train, held, "churn")
    assert (none.values["auc"], none.values["accuracy"], none.values["f1"]) == (0.5, 0, 0)
    assert none.notes == ("churn: no row has a class, so that nothing can be learned from it",)
    number = utility(train, held, "spent")
    assert number.values["r2"] < 0 and "no row has a value" in number.notes[0]


def test_classes_that_are_not_in_the_training_rows_are_never_predicted() -> None:
    frame, test = customers(400), customers(300, 1)
    train, held = sheets(frame, frame[frame.plan != "gold"], test)[1:]
    values = utility(train, held, "plan").values
    assert values["accuracy"] <= (test.plan != "gold").mean()


def test_a_single_column_teaches_its_own_frequencies() -> None:
    train, held = sheets(customers(300)[["plan"]], customers(100, 1)[["plan"]])
    assert utility(train, held, "plan").values["auc"] == 0.5


def test_many_categories_and_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    frame = customers(1200).assign(city=[f"c{int(v)}" for v in draw.exponential(150, 1200)])
    train, held = sheets(frame, frame[:300])
    inputs = Inputs.of(train)
    assert train.fields[-1].name == "city" and len(train.fields[-1].levels or ()) > LEVELS
    assert np.nanmax(inputs.matrix(train)[:, -1]) == LEVELS - 1
    assert utility(train, held, "churn").values["auc"] > 0.6
    monkeypatch.setattr(measured, "CLASSES", 2)
    result = utility(train, held, "plan")
    assert result.notes == ("plan: of 3 classes the rarest are taken for one, so that 2 remain",)


def test_nothing_to_tell_apart_is_refused() -> None:
    train, held = sheets(customers(100), customers(50, 1).assign(churn="no"))
    with pytest.raises(BadOption, match="the 50 test rows have a single class of 'churn'"):
        utility(train, held, "churn")


def test_known_scores() -> None:
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    scores = classification_scores(np.array([0, 0, 0, 1]), chances)
    assert scores == {"auc": pytest.approx(2 / 3), "f1": 0, "accuracy": 0.5}
    found = regression_scores(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    assert found == {"r2": pytest.approx(-1), "rmse": pytest.approx(2**0.5)}


def test_durations_are_in_seconds() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=400)
    frame = pd.DataFrame({"x": x, "took": pd.to_timedelta((50 + 10 * x + draw.normal(size=400)) // 0.001, "ms")})
    train, held = sheets(frame, frame[:100])
    assert 0.1 < utility(train, held, "took").values["linear_rmse"] < 3
