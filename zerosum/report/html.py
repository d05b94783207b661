"""HTML that is escaped by construction: a plain string becomes text, only what `tag` made stays markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID = {"br", "img", "input", "link", "meta"}


class Html(str):
    """Text that is markup already and must not be escaped again."""


Child = str | int | float | None


def escape(child: Child) -> Html:
    """`child` as markup: unchanged when it is `Html`, escaped when it is anything else, nothing when it is None."""
    if isinstance(child, Html):
        return child
    return Html("" if child is None else html.escape(str(child)))


def join(children: Iterable[Child]) -> Html:
    """The children one after the other."""
    return Html("".join(escape(child) for child in children))


def tag(name: str, /, *children: Child, **attributes: Child) -> Html:
    """An element. A trailing underscore of an attribute is dropped (class_), others become dashes (data_plot)."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{join(children)}</{name}>")


def rows(pairs: Iterable[tuple[Child, Child]]) -> Html:
    """A table of names and values."""
    body = join(tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in pairs)
    return tag("div", tag("table", tag("tbody", body), class_="facts"), class_="scroll")


def missing(sentence: str) -> Html:
    """A sentence in the place of something that is not there."""
    return tag("p", sentence, class_="missing")
