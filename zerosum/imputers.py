"""Missing cells filled in, in scikit-learn's style: `fit`, `transform`, pipelines, `clone`, `set_output`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from zerosum.core import discovery, randomness
from zerosum.core.errors import BadOption
from zerosum.core.settings import to_json
from zerosum.data.options import Scaling
from zerosum.data.spec import Dataset
from zerosum.data.tables.columns import Name
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.frames import is_frame
from zerosum.data.tables.store import TableStore
from zerosum.gans.tables import gain, masked_imputer
from zerosum.metrics.imputation import is_number
from zerosum.training import loop
from zerosum.training.arena import open_arena
from zerosum.training.imputer import Imputer
from zerosum.training.loop import Run


class _Imputing(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """What both estimators do; they say with which system and settings."""

    categorical: Sequence[Name | int]
    scaling: Scaling
    draws: bool
    devices: str
    random_state: Any
    _continuous: bool
    """Whether all numbers are continuous; else those with few values are levels in order."""

    def _settings(self) -> tuple[str, Any]:
        """The system and its settings."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what cells depend on.

        Args:
            X: (n, columns), a frame or an array, NaN, None or NA where a cell is missing.
            y: ignored.

        Raises:
            ValueError: it is no table, has infinite numbers, or fewer than two rows.
            BadData: a column cannot be learned from, or nothing can.
        """
        frame = self._frame(X, reset=True)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        system, config = self._settings()
        encoding = TableEncoding.fit(frame, kinds=self._kinds(frame), scaling=self.scaling)
        store = TableStore(encoding, *encoding.compact(frame))
        randomness.reseed(seed, "build")
        game_class: Any = discovery.game_class(system)
        game = game_class(config, encoding.spec)
        facts = {"system": system, "config": to_json(config), "paper": discovery.find(system).summary, "seed": seed}
        dataset = Dataset("table", encoding.spec, encoding, store, None, "", [])
        with tempfile.TemporaryDirectory() as folder:
            arena = open_arena(self.devices, narrow=game.narrow)
            made = loop.train(game, dataset, Run(seed=seed), Path(folder), (), facts, arena)
        assert isinstance(made, Imputer)
        self.imputer_, self.seed_ = made, seed
        return self

    def transform(self, X: Any) -> Any:
        """The table with missing cells filled in, as what it came: frames as frames, arrays as arrays.

        Raises:
            ValueError: other columns than in `fit`.
            BadData: cells of another kind than in `fit`.
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        filled = self.imputer_.impute(frame, seed=self.seed_, draws=self.draws, rounded=is_frame(X))
        return filled if is_frame(X) else filled.to_numpy(dtype=_dtype_of(X))

    def imputations(self, X: Any, count: int, seed: int = 0) -> list[Any]:
        """Several tables, each with missing cells drawn anew (multiple imputation)."""
        check_is_fitted(self)
        found = self.imputer_.imputations(self._frame(X, reset=False), count, seed=seed)
        return found if is_frame(X) else [frame.to_numpy(dtype=_dtype_of(X)) for frame in found]

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        """X as a frame; the columns of arrays are numbered."""
        least = 2 if reset else 1
        if isinstance(X, pd.DataFrame) or is_frame(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if len(X) < least:
                raise ValueError(f"Found a table with {len(X)} sample(s) while a minimum of {least} is required.")
            return X if isinstance(X, pd.DataFrame) else X.to_pandas()
        array = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=least
        )  # fmt: skip
        if np.iscomplexobj(array):
            raise ValueError("Complex data not supported: give real and imaginary parts as columns of their own.")
        return _inferred(array) if array.dtype.kind in "OUS" else pd.DataFrame(array).astype(_dtype_of(array))

    def _kinds(self, frame: pd.DataFrame) -> dict[Name, str]:
        """Kinds of columns, where they are not to be found out. Raises BadOption for columns that are not there."""
        names = list(frame.columns)
        chosen = []
        for column in self.categorical:
            if column not in names and not (isinstance(column, int) and 0 <= column < len(names)):
                raise BadOption(f"categorical names the column {column!r}, which is not there: {names[:20]}.")
            chosen.append(column if column in names else names[int(column)])
        numbers = [name for name in names if self._continuous and is_number(frame[name]) and frame[name].notna().any()]
        return dict.fromkeys(numbers, "continuous") | dict.fromkeys(chosen, "categorical")


def _dtype_of(X: Any) -> np.dtype:
    """The dtype of an array without missing cells: floats as they are, other numbers as float64, else objects."""
    dtype = np.asarray(X).dtype
    return dtype if dtype.kind == "f" else np.dtype(object if dtype.kind in "OUS" else "float64")


def _inferred(array: np.ndarray) -> pd.DataFrame:
    """An array of objects or text as a frame. Raises TypeError where cells are neither numbers nor text."""
    frame = pd.DataFrame(array.astype(object)).infer_objects()
    for name in frame.columns:
        for value in frame[name] if frame[name].dtype == object else ():
            if not isinstance(value, str | bytes | int | float | bool | np.generic | type(None) | type(pd.NA)):
                raise TypeError(f"argument must be a string or a number, not {type(value).__name__!r}")
    return frame


class GAINImputer(_Imputing):
    """GAIN (Yoon et al. 2018) as a scikit-learn transformer. Numbers are continuous and scaled by their range, as in
    the paper; other columns are categories.

    Args:
        rounds, batch_size, width, alpha, hint, hint_rate, adversary: as in `zerosum.gans.tables.gain.Config`.
        categorical: columns of numbers, by name or place, that are names of categories.
        scaling: of numbers: "range", as in the paper, "modes" or "quantile".
        draws: fill in draws, which have the distribution of the data, instead of the best guess.
        devices: cpu, cuda, mps or auto.
        random_state: decides weights, order and noise.

    Attributes:
        imputer_: the trained `zerosum.training.imputer.Imputer`, which can be saved.
        n_features_in_, feature_names_in_: as everywhere.

    Example:
        >>> whole = GAINImputer(random_state=0).fit_transform(X)
    """

    _continuous = True

    def __init__(
        self, *, rounds: int = gain.Config.rounds, batch_size: int = gain.Config.batch_size, width: int | None = None,
        alpha: float = gain.Config.alpha, hint: Literal["paper", "program"] = "paper",
        hint_rate: float = gain.Config.hint_rate, adversary: float = gain.Config.adversary,
        categorical: Sequence[Name | int] = (), scaling: Scaling = "range", draws: bool = False, devices: str = "cpu",
        random_state: Any = None,
    ):  # fmt: skip
        self.rounds, self.batch_size, self.width = rounds, batch_size, width
        self.alpha, self.hint, self.hint_rate, self.adversary = alpha, hint, hint_rate, adversary
        self.categorical, self.scaling, self.draws = categorical, scaling, draws
        self.devices, self.random_state = devices, random_state

    def _settings(self) -> tuple[str, Any]:
        names = ("rounds", "batch_size", "width", "alpha", "hint", "hint_rate", "adversary")
        return "gain", gain.Config(**{name: getattr(self, name) for name in names})


class MaskedImputer(_Imputing):
    """zerosum's masked imputer as a scikit-learn transformer. Numbers with few values are levels in order, of which the
    mean is taken; the others have modes.

    Args:
        rounds, adversarial_rounds, batch_size, width, layers, dropout, bins, adversary: as in
            `zerosum.gans.tables.masked_imputer.Config`.
        categorical, scaling, draws, devices, random_state: as of `GAINImputer`.

    Attributes:
        imputer_: the trained `zerosum.training.imputer.Imputer`, which can be saved.
        n_features_in_, feature_names_in_: as everywhere.

    Example:
        >>> model = make_pipeline(MaskedImputer(random_state=0), Ridge()).fit(X, y)
    """

    _continuous = False

    def __init__(
        self, *, rounds: int = masked_imputer.Config.rounds,
        adversarial_rounds: int = masked_imputer.Config.adversarial_rounds,
        batch_size: int = masked_imputer.Config.batch_size, width: int = masked_imputer.Config.width,
        layers: int = masked_imputer.Config.layers, dropout: float = masked_imputer.Config.dropout,
        bins: int = masked_imputer.Config.bins,
        adversary: float = masked_imputer.Config.adversary, categorical: Sequence[Name | int] = (),
        scaling: Scaling = "modes", draws: bool = False, devices: str = "cpu", random_state: Any = None,
    ):  # fmt: skip
        self.rounds, self.adversarial_rounds, self.batch_size = rounds, adversarial_rounds, batch_size
        self.width, self.layers, self.dropout, self.bins, self.adversary = width, layers, dropout, bins, adversary
        self.categorical, self.scaling, self.draws = categorical, scaling, draws
        self.devices, self.random_state = devices, random_state

    def _settings(self) -> tuple[str, Any]:
        names = ("rounds", "adversarial_rounds", "batch_size", "width", "layers", "dropout", "bins", "adversary")
        return "masked_imputer", masked_imputer.Config(**{name: getattr(self, name) for name in names})
