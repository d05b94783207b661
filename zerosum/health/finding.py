"""What the health check says: an illness that was found, with its evidence and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["warning", "ill"]


@dataclass(frozen=True)
class Finding:
    """One illness, found.

    Attributes:
        illness: its name in words: "mode collapse".
        severity: "warning" (watch it) or "ill" (training on as it is will not help).
        evidence: a sentence with the numbers that it rests on.
        advice: what to do, with the options to do it.
        samples: samples shown when it was found.
    """

    illness: str
    severity: Severity
    evidence: str
    advice: str
    samples: int

    @property
    def ill(self) -> bool:
        """Whether it is more than a warning."""
        return self.severity == "ill"

    def to_json(self) -> dict[str, Any]:
        """All fields, for health.json."""
        return asdict(self)
