"""The page about a synthetic table: complete, balanced, closed to the outside, and its verdicts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers, shuffled
from tests.report.test_page import Balance
from zerosum.core.errors import BadFile
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.scores import TableScores, evaluate_tables
from zerosum.report.table_plots import scale_word, shortened
from zerosum.report.table_verdict import kept, privacy, quality
from zerosum.report.tables import render_tables, write_tables

SIZES = {"privacy": {"different_rows_of_either_real_table": 3000, "copies_among": 30_000}}
REAL = {"pairs": 0.99, "auc": 0.93, "detection_auc": 0.5}
APART = {"pairs": 0.92, "auc": 0.5, "detection_auc": 0.99, "attack_auc": 0.51, "nearer_train": 0.49}
SAFE = {"copies": 0.0, "copies_expected": 0.0, "nearer_train": 0.5, "attack_auc": 0.505, "attack_epsilon": 0.0}


def judged(**values: float) -> TableScores:
    """Scores with these values beside usual baselines."""
    return TableScores(values, {}, {}, SIZES, {"real": REAL, "independent": APART})


def text_of(page: str) -> str:
    """The text of a page, checked for balance and for addresses that leave it."""
    parser = Balance()
    parser.feed(page)
    assert parser.open == [] and all(address.startswith("#") for address in parser.addresses)
    assert "http" not in page
    return re.sub(r"\s+", " ", " ".join(parser.text))


@pytest.fixture(scope="module")
def scores() -> TableScores:
    frame = customers(700)
    frame["since"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(700) * 7 % 1000, "D")
    frame.loc[::5, "spent"] = np.nan
    frame = frame.rename(columns={"plan": "<plan> & co"})
    made = shuffled(frame[:600]).assign(sex="f")
    return evaluate_tables(frame[:600], frame[600:], made, TableEncoding.fit(frame, target="churn"))


def test_the_page_is_complete(scores: TableScores, tmp_path: Path) -> None:
    page = write_tables(tmp_path / "table.html", scores, "A shuffler", "customers").read_text(encoding="utf-8")
    text = text_of(page)
    assert 'class="missing"' not in page and "A shuffler of customers" in text
    for words in (
        "How good", "loses most of what the real rows show", "How private", "Independent columns", "Pair trends",
        "AUC, logistic", "Distance to the closest record", "<plan> & co", "missing: 20.0 % real", "2020-01-",
        "Worst pairs", "histogram gradient boosting", "only differential privacy",
    ):  # fmt: skip
        assert words in text, words
    assert text.index("sex 0.5") < text.index("age 1.000")  # the worst first
    assert page.count("<figure") == 6 + 1 + 3


def test_what_was_not_measured_is_said() -> None:
    frame = customers(120)[["plan"]]
    scores = evaluate_tables(frame, None, frame, TableEncoding.fit(frame))
    text = text_of(render_tables(scores))
    for words in ("privacy: not measured", "no target was named", "A single column has no pairs", "Not measured: see"):
        assert words in text


def test_a_page_that_cannot_be_written(scores: TableScores, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="part of the path is a file"):
        write_tables(tmp_path / "file" / "page.html", scores)


def test_wide_tables_show_the_worst_columns() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(200, 65)), columns=[f"x{i}" for i in range(65)])
    scores = evaluate_tables(frame, None, frame.assign(x3=0.5), TableEncoding.fit(frame), baselines={})
    page = render_tables(scores)
    text = text_of(page)
    assert "The best 5 of 65 columns are not drawn" in text and "The worst 40 of 65 columns are shown" in text
    assert page.count("<figure") == 60 + 3 and "x3" in text


def test_how_good() -> None:
    real = quality(judged(shapes=0.99, pairs=0.985, auc=0.92, detection_auc=0.55))
    assert (real.tone, real.words) == ("good", "as good as real rows, nearly")
    assert quality(judged(pairs=0.985, auc=0.92, detection_auc=0.97)).tone == "watch"
    assert quality(judged(pairs=0.96, auc=0.8, detection_auc=0.97)).words == "keeps a part of what the real rows show"
    poor = quality(judged(shapes=0.99, pairs=0.93, auc=0.6, detection_auc=0.99))
    assert poor.tone == "bad" and "14 % of what real rows have over independent columns is kept" in " ".join(
        poor.reasons
    )
    alone = replace(judged(shapes=0.99, detection_auc=0.5), baselines={})
    assert quality(alone).tone == "unknown"
    assert kept(judged(auc=0.715), "auc") == pytest.approx(0.5) and kept(judged(auc=0.7), "r2") is None


def test_how_private() -> None:
    assert privacy(judged(**SAFE)).tone == "good"
    assert privacy(judged(**SAFE | {"attack_auc": 0.54})).tone == "watch"
    assert privacy(judged(**SAFE | {"nearer_train": 0.55})).tone == "watch"
    for leak in ({"attack_epsilon": 0.4}, {"attack_auc": 0.8}, {"copies": 0.1}, {"nearer_train": 0.7}):
        assert privacy(judged(**SAFE | leak)).tone == "bad"
    chance = privacy(judged(**SAFE | {"copies": 0.101, "copies_expected": 0.1}))
    assert chance.tone == "good" and "3,030 of 30,000 rows are exact copies" in chance.reasons[0]
    assert "proves an epsilon of at least 0.40" in " ".join(privacy(judged(**SAFE | {"attack_epsilon": 0.4})).reasons)
    assert privacy(judged()).tone == "unknown"


def test_ends_of_scales_and_long_names() -> None:
    assert scale_word(86_400.0 * 366, {"times": True}) == "1971-01-02"
    assert scale_word(86_400.0 * 3, {"spans": True}) == "3 days"
    assert scale_word(1500.0, {}) == "1.5k"
    assert shortened("a long name", 7) == "a long…" and shortened("short", 7) == "short"
