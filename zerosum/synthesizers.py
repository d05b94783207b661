"""Synthetic tables in scikit-learn's style: `CTGAN(epochs=100).fit(frame).sample(1000)`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from zerosum import api
from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.data.options import Data, Scaling, Table
from zerosum.data.tables.columns import Name
from zerosum.data.tables.frames import as_frame
from zerosum.training.loop import Run
from zerosum.training.table_generator import TableGenerator


class Synthesizer(BaseEstimator):
    """Learns a table and makes others like it. Each sub-class names one of the systems for tables.

    Args:
        epochs: how often all rows are shown; None: as the paper has it.
        config: all settings of the system (its Config), for those that are not named here.
        target: the column that models are to predict.
        kinds: column -> kind, where it is not to be found out: continuous, integer, categorical, ordinal, boolean,
            datetime, identifier, text, constant.
        constraints: what rows obey, such as "start <= end".
        drop: columns to leave out.
        scaling: of numbers: modes, range or quantile.
        batch_size: rows a batch; None: as the paper has it.
        folder: run folder, in which training can be watched and resumed; None: nothing is kept.
        random_state: a whole number; decides everything.
        verbose: show progress.

    Attributes:
        generator_: what was trained (`zerosum.training.table_generator.TableGenerator`); its `save` keeps it.

    Example:
        >>> CTGAN(epochs=100).fit(frame).sample(1000)
    """

    system: ClassVar[str]

    def __init__(
        self,
        *,
        epochs: int | None = None,
        config: Any = None,
        target: Name | None = None,
        kinds: Mapping[str, str] | None = None,
        constraints: Sequence[str] = (),
        drop: Sequence[Name] = (),
        scaling: Scaling = "modes",
        batch_size: int | None = None,
        folder: Path | str | None = None,
        random_state: int = 0,
        verbose: bool = False,
    ):
        self.epochs, self.config, self.target = epochs, config, target
        self.kinds, self.constraints, self.drop, self.scaling = kinds, constraints, drop, scaling
        self.batch_size, self.folder, self.random_state, self.verbose = batch_size, folder, random_state, verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn a table.

        Args:
            X: a pandas or polars frame, an Arrow table, an array (n, columns), or a file.
            y: a target (n,), learned as one more column called as it is, or "target".

        Raises:
            BadData: the table cannot be learned from.
            BadOption: a setting does not fit it.
        """
        table = Table(
            kinds=tuple(f"{name}={kind}" for name, kind in (self.kinds or {}).items()), drop=tuple(map(str, self.drop)),
            constraints=tuple(self.constraints), scaling=self.scaling,
        )  # fmt: skip
        source, target = _with_target(X, y, self.target)
        game_class: Any = discovery.game_class(self.system)
        config = self.config or game_class.Config()
        if self.epochs is not None:
            config = replace(config, epochs=self.epochs)
        if self.batch_size is not None:
            config = replace(config, batch_size=self.batch_size)
        with tempfile.TemporaryDirectory() as scratch:
            run = Run(folder=Path(self.folder or Path(scratch) / "run"), seed=self.random_state)
            made = api.train(
                self.system, source, config=config, options=Data(target=target, table=table), run=run,
                features="auto" if self.folder else "none", quiet=not self.verbose,
            )  # fmt: skip
        assert isinstance(made, TableGenerator)
        self.generator_ = made
        return self

    def sample(
        self, n: int = 1000, *, given: Any = None, balance: Name | None = None, random_state: int | None = None
    ) -> pd.DataFrame:
        """A table of n rows, as the one that was learned.

        Args:
            n: how many rows.
            given: what all rows are to fulfil: {"sex": "Female"}, or ["sex=Female", "age>60"].
            balance: a column whose categories are to be equally frequent.
            random_state: decides which; None: that of fitting.

        Raises:
            BadOption: no such column or category, or nearly no row fulfils the conditions.
            sklearn.exceptions.NotFittedError: nothing was learned yet.
        """
        check_is_fitted(self)
        seed = self.random_state if random_state is None else random_state
        asked: dict[str, Any] = {} if balance is None else {"balance": balance}
        return self.generator_.sample(n, given=given, seed=seed, **asked)

    def save(self, folder: Path | str) -> None:
        """Write the generator, which `zerosum.load` reads."""
        check_is_fitted(self)
        self.generator_.save(folder)


def _with_target(X: Any, y: Any, target: Name | None) -> tuple[Any, str | None]:
    """The table with its target as one more column, and what this is called."""
    if isinstance(X, str | Path):
        return X, None if target is None else str(target)
    frame = pd.DataFrame(X) if not hasattr(X, "columns") and not hasattr(X, "schema") else as_frame(X)
    frame = frame.rename(columns=str)
    if y is None:
        return frame, None if target is None else str(target)
    name = str(getattr(y, "name", None) or target or "target")
    if name in frame:
        raise BadOption(f"the table already has a column {name!r}: leave out y, and give target={name!r}.")
    return frame.assign(**{name: getattr(y, "to_numpy", lambda: y)()}), name


class CTGAN(Synthesizer):
    """Conditional tabular GAN (Xu et al. 2019), arXiv:1907.00503; arguments as of `Synthesizer`.

    Example:
        >>> CTGAN(epochs=100, target="income").fit(frame).sample(1000, given={"sex": "Female"})
    """

    system = "ctgan"


class CTABGANPlus(Synthesizer):
    """CTAB-GAN+ (Zhao et al. 2022), arXiv:2204.00401; arguments as of `Synthesizer`. Give it a target."""

    system = "ctabgan_plus"


class TVAE(Synthesizer):
    """Tabular variational autoencoder (Xu et al. 2019), arXiv:1907.00503; arguments as of `Synthesizer`."""

    system = "tvae"


class TabFairGAN(Synthesizer):
    """TabFairGAN (Rajabi and Garibay 2022), arXiv:2109.00666; arguments as of `Synthesizer`.

    Example:
        >>> from zerosum.gans.tables import tabfairgan
        >>> config = tabfairgan.Config(fair="sex", favourable=">50K")
        >>> TabFairGAN(config=config, target="income").fit(frame).sample(1000)
    """

    system = "tabfairgan"


class DPCTGAN(Synthesizer):
    """Differentially private CTGAN (Xie et al. 2018, arXiv:1802.06739); arguments as of `Synthesizer`.

    Example:
        >>> from zerosum.gans.tables import dp_ctgan
        >>> DPCTGAN(config=dp_ctgan.Config(epsilon=3.0)).fit(frame).sample(1000)
    """

    system = "dp_ctgan"
