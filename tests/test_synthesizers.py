"""Synthetic tables in scikit-learn's style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import zerosum
from tests.gans.games import shrunk
from zerosum.core.errors import BadOption
from zerosum.gans.tables import ctabgan_plus, ctgan, dp_ctgan, tabfairgan, tvae
from zerosum.synthesizers import CTGAN, DPCTGAN, TVAE, CTABGANPlus, Synthesizer, TabFairGAN

SMALL = ctgan.Config(hidden=8, latent=4, batch_size=50)


def people(n: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame({
        "age": draw.integers(18, 90, n), "sex": draw.choice(["f", "m"], n),
        "pay": draw.normal(1000.0, 100.0, n).round(2),
    })  # fmt: skip


def test_fit_and_sample(tmp_path: Path) -> None:
    model = clone(CTGAN(epochs=1, config=SMALL, target="sex", constraints=("age <= 90",)))
    with pytest.raises(NotFittedError):
        model.sample(3)
    frame = model.fit(people()).sample(30)
    assert (frame.dtypes == people().dtypes).all() and len(frame) == 30
    assert frame.equals(model.sample(30)) and not frame.equals(model.sample(30, random_state=5))
    assert (model.sample(20, given={"sex": "f"})["sex"] == "f").all()
    assert model.generator_.table.target == "sex"
    model.save(tmp_path / "saved")
    assert zerosum.load(tmp_path / "saved").sample(30).equals(frame)


def test_the_same_seed_makes_the_same_rows() -> None:
    one, same, other = (
        CTGAN(epochs=1, config=SMALL, random_state=seed).fit(people()).sample(10, random_state=0) for seed in (1, 1, 2)
    )
    assert one.equals(same) and not one.equals(other)


def test_targets_apart_and_arrays() -> None:
    frame = people()
    made = CTGAN(epochs=1, config=SMALL).fit(frame[["age", "pay"]], frame["sex"]).sample(4)
    assert list(made.columns) == ["age", "pay", "sex"]
    with pytest.raises(BadOption, match="already has a column 'sex'"):
        CTGAN(epochs=1, config=SMALL).fit(frame, frame["sex"])
    array = CTGAN(epochs=1, config=SMALL).fit(np.random.default_rng(0).normal(size=(100, 2))).sample(4)
    assert array.shape == (4, 2)


@pytest.mark.parametrize(("kind", "module"), [(TVAE, tvae), (TabFairGAN, tabfairgan), (CTABGANPlus, ctabgan_plus)])
def test_every_system_has_a_class(kind: type[Synthesizer], module: Any) -> None:
    assert len(clone(kind(epochs=1, config=shrunk(module.Config()), target="sex")).fit(people()).sample(7)) == 7


def test_private_rows() -> None:
    pytest.importorskip("opacus")
    assert len(DPCTGAN(epochs=1, config=shrunk(dp_ctgan.Config())).fit(people()).sample(7)) == 7
