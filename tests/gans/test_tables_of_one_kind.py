"""Every system of tables takes tables without numbers, without categories and of a single column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.gans.games import encoded, play, seated, shrunk
from zerosum.core import discovery
from zerosum.training.imputer import Imputer

DRAW = np.random.default_rng(0)
TABLES = {
    "categories": pd.DataFrame({"a": DRAW.choice(["x", "y", "z"], 80), "b": DRAW.choice(["p", "q"], 80)}),
    "numbers": pd.DataFrame({"a": DRAW.normal(size=80), "b": DRAW.random(80), "c": DRAW.gamma(2.0, size=80)}),
    "one number": pd.DataFrame({"a": DRAW.normal(size=80)}),
    "one category": pd.DataFrame({"a": DRAW.choice(["x", "y", "z"], 80)}),
}
SYSTEMS = sorted(name for name, system in discovery.systems().items() if system.kind == "tables")


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("columns", TABLES)
def test_plays_and_leaves_a_generator(name: str, columns: str) -> None:
    frame = TABLES[columns]
    store = encoded(frame)
    game = seated(name, shrunk(discovery.game_class(name).Config()), store.encoding.spec)
    game.meet(store)
    play(game, store, 2)
    generator = game.trained()
    generator.encoding = store.encoding
    if isinstance(generator, Imputer):
        holes = frame.copy()
        holes.iloc[:5, 0] = np.nan
        made = generator.impute(holes)
        assert not made.isna().any(axis=None)
        pd.testing.assert_frame_equal(made.iloc[5:], frame.iloc[5:])
    else:
        made = generator.sample(30, seed=0)
        assert made.shape == (30, frame.shape[1]) and not made.isna().any(axis=None)
        assert list(made.dtypes) == list(frame.dtypes)
