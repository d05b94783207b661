"""Identifiers: what their form is, and new ones of that form, all different."""

from __future__ import annotations

import math
import random
import re
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zerosum.core.errors import BadOption

UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
NAMED = re.compile(r"(^|[_\W])((?i:id|uuid|guid|key))$|[a-z](ID|Id)$")
"""Names of columns that say that they identify."""
ALPHABETS = (
    string.digits, string.digits + "abcdef", string.digits + "ABCDEF", string.ascii_lowercase, string.ascii_uppercase,
    string.digits + string.ascii_lowercase, string.digits + string.ascii_uppercase,
    string.digits + string.ascii_letters,
)  # fmt: skip


@dataclass(frozen=True)
class Identifier:
    """A form that identifiers share."""

    style: Literal["sequence", "whole", "uuid", "counter", "template"]
    """start, start + 1 ...; different whole numbers from start to end; uuids; prefix + number + suffix; one character
    of each alphabet."""
    start: int = 0
    end: int = 0
    prefix: str = ""
    suffix: str = ""
    width: int = 0
    """Digits of a counter, filled up with zeros; 0: no zeros."""
    alphabets: tuple[str, ...] = ()
    upper: bool = False
    dashes: bool = True

    def make(self, n: int, seed: int, name: Any) -> list[Any]:
        """n different identifiers: whole numbers for "sequence" and "whole", else text; the same for the same seed.

        Raises:
            BadOption: there are fewer than n of this form.
        """
        numbers = range(self.start, self.start + n)
        match self.style:
            case "sequence":
                return list(numbers)
            case "counter":
                return [f"{self.prefix}{number:0{self.width}d}{self.suffix}" for number in numbers]
            case "whole":
                if n <= self.end - self.start + 1:
                    numbers = range(self.start, self.end + 1)
                return random.Random(seed).sample(numbers, n)
            case "uuid":
                draw = random.Random(seed)
                texts = (str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(n))
                texts = texts if self.dashes else (text.replace("-", "") for text in texts)
                return [text.upper() for text in texts] if self.upper else list(texts)
        sizes = [len(alphabet) for alphabet in self.alphabets]
        if n > math.prod(sizes):
            raise BadOption(
                f"{n:,} rows were asked for, but only {math.prod(sizes):,} different identifiers look like those of "
                f"column {name!r}: ask for fewer rows, or leave the column out (--data.drop {name})."
            )
        return [self._spell(number) for number in different(n, math.prod(sizes), seed)]

    def _spell(self, number: int) -> str:
        letters = []
        for alphabet in reversed(self.alphabets):
            number, place = divmod(number, len(alphabet))
            letters.append(alphabet[place])
        return "".join(reversed(letters))


def different(n: int, below: int, seed: int) -> list[int]:
    """n different whole numbers from 0 to below - 1, in random order; `below` may be larger than 64 bits."""
    draw = random.Random(seed)
    if below < 2**62:
        return draw.sample(range(below), n)
    found: dict[int, None] = {}
    while len(found) < n:
        found[draw.randrange(below)] = None
    return list(found)


def of_numbers(values: Sequence[int]) -> Identifier:
    """The form of different whole numbers: counted one by one, or spread over a range."""
    low, high = min(values), max(values)
    style: Literal["sequence", "whole"] = "sequence" if high - low + 1 == len(values) else "whole"
    return Identifier(style, low, high)


def of_texts(texts: Sequence[str]) -> Identifier | None:
    """The form that different texts share: uuids, counters such as C-0017, or equal length with digits; None: none."""
    if all(UUID.fullmatch(text) for text in texts):
        joined = "".join(texts)
        return Identifier("uuid", upper=joined == joined.upper(), dashes="-" in joined)
    prefix = _beginning(texts).rstrip(string.digits)
    suffix = _beginning([text[::-1] for text in texts])[::-1].lstrip(string.digits)
    middles = [text[len(prefix) : len(text) - len(suffix)] for text in texts]
    if all(middle.isascii() and middle.isdigit() for middle in middles):
        widths = {len(middle) for middle in middles}
        padded = any(middle.startswith("0") and len(middle) > 1 for middle in middles)
        if len(widths) == 1 or not padded:
            start = min(int(middle) for middle in middles)
            return Identifier("counter", start, prefix=prefix, suffix=suffix, width=min(widths) if padded else 0)
    if len({len(text) for text in texts}) > 1 or not any(character.isdigit() for character in texts[0]):
        return None
    alphabets = []
    for place in range(len(texts[0])):
        seen = {text[place] for text in texts}
        fitting = [seen.pop()] if len(seen) == 1 else [letters for letters in ALPHABETS if seen <= set(letters)]
        if not fitting:
            return None
        alphabets.append(fitting[0])
    return Identifier("template", alphabets=tuple(alphabets))


def _beginning(texts: Sequence[str]) -> str:
    """What all texts begin with: what the first and the last in order have in common."""
    low, high = min(texts), max(texts)
    same = (one == other for one, other in zip(low, high))
    return low[: next((place for place, equal in enumerate(same) if not equal), min(len(low), len(high)))]
