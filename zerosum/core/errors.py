"""Errors that a user can act on: each names the thing at fault and says what to do about it.

The command line prints the message of a `ZerosumError` alone, without a traceback; anything else is a defect of ours.
"""

from __future__ import annotations


class ZerosumError(Exception):
    """Something the user gave, or the machine did, that zerosum can name."""


class BadData(ZerosumError):
    """The data cannot be used as it is."""


class BadOption(ZerosumError):
    """An option, a system's name or a combination of settings that does not exist or cannot work."""


class BadFile(ZerosumError):
    """A run folder, a checkpoint or a generator that is missing, broken, foreign, or cannot be written."""


class MissingExtra(ZerosumError):
    """An optional dependency is not installed."""


class NotFinite(ZerosumError):
    """A loss term or a gradient became NaN or infinite.

    Attributes:
        term: the name of the loss term, or "gradient".
        player: the name of the player whose step it was.
        round: the round it was noticed in.
    """

    def __init__(self, term: str, player: str, round: int):
        self.term, self.player, self.round = term, player, round
        what = "the gradient" if term == "gradient" else f"the loss term {term!r}"
        super().__init__(
            f"{player}: {what} is not finite in round {round:,}. "
            "Lower the learning rate, add a gradient penalty, or try --run.precision fp32."
        )
