"""A classifier that tells rows apart: not where there is nothing to tell, surely where there is."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.metrics.tables.made import customers, sheets, shuffled
from zerosum.core.errors import BadData
from zerosum.metrics.tables.detection import detection_auc, detection_score


def test_fresh_rows_pass_and_shuffled_ones_do_not() -> None:
    frame = customers(1500)
    real, fresh, made = sheets(frame, customers(1500, 1), shuffled(frame))
    assert detection_auc(real, fresh) == pytest.approx(0.5, abs=0.06)
    assert detection_auc(real, made) > 0.8
    assert detection_auc(real, made, seed=3) == detection_auc(real, made, seed=3)


def test_copies_are_told_by_nobody() -> None:
    frame = customers(600)
    real, copies = sheets(frame, frame)
    assert detection_auc(real, copies) == pytest.approx(0.5, abs=0.03)


def test_impossible_rows_are_told_at_once() -> None:
    frame = customers(300)
    real, made = sheets(frame, frame.assign(plan="none"))
    assert detection_auc(real, made, rounds=20, folds=2) == 1


def test_rows_that_are_all_equal() -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 20})
    real, made = sheets(frame, frame.assign(a="x"))
    assert 0 <= detection_auc(real, made) <= 1


def test_too_few_rows_are_refused() -> None:
    real, made = sheets(customers(100), customers(5))
    with pytest.raises(BadData, match="5 rows are too few to tell tables apart by; 6 are needed"):
        detection_auc(real, made)


def test_the_score_is_that_of_sdmetrics() -> None:
    assert [detection_score(auc) for auc in (0.3, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]
