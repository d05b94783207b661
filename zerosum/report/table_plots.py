"""What is drawn of a synthetic table, as small inline SVG, styled by the page and readable without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zerosum.metrics.tables.figures import day
from zerosum.report.html import Child, Html, join, tag
from zerosum.report.plot import Axis, short

WIDTH = 300
TOP, BOTTOM = 6, 96
LABEL = 96
"""Pixels for the names of categories."""
ROW = 17
"""Pixels a category is high."""
CELL, NAMES = 16, 108
"""Pixels of a cell of a heat map, and of the names beside it."""
LEGEND = (("real", "real"), ("made", "synthetic"))


def legend() -> Html:
    """Which colour is what."""
    return tag("p", *(tag("span", tag("i", class_=name), word) for name, word in LEGEND), class_="legend pairs")


def column(name: str, found: Mapping[str, Any], note: str) -> Html:
    """A figure of a column's cells, real and synthetic: bars of categories, or a histogram of numbers."""
    drawn = _bars(found) if "labels" in found else _histogram(found)
    missing = found["missing"]
    gone = f"missing: {100 * missing[0]:.1f} % real, {100 * missing[1]:.1f} % synthetic" if any(missing) else None
    head = tag("figcaption", tag("b", name), tag("span", note, class_="note"))
    return tag("figure", head, drawn, tag("p", gone, class_="hint") if gone else None, class_="plot small")


def _bars(found: Mapping[str, Any]) -> Html:
    labels, real, made = found["labels"], found["real"], found["synthetic"]
    scale = Axis(0.0, max(*real, *made, 1e-9), LABEL, WIDTH - 4)
    rows = []
    for row, (label, own, other) in enumerate(zip(labels, real, made)):
        y = row * ROW + 3
        hover = tag("title", f"{label}: {100 * own:.2f} % real, {100 * other:.2f} % synthetic")
        bars = [
            tag("rect", x=LABEL, y=y + shift, width=max(round(scale(share) - LABEL, 1), 0), height=5, class_=kind)
            for share, shift, kind in ((own, 0, "real"), (other, 6, "made"))
        ]
        text = tag("text", shortened(label, 15), x=LABEL - 6, y=y + 9, text_anchor="end")
        rows.append(tag("g", hover, text, *bars))
    return tag("svg", *rows, viewBox=f"0 0 {WIDTH} {len(labels) * ROW + 6}", role="img", aria_label="shares of values")


def _histogram(found: Mapping[str, Any]) -> Html:
    edges, real, made = found["edges"], found["real"], found["synthetic"]
    y = Axis(0.0, max(*real, *made, 1e-9), BOTTOM, TOP)
    width = (WIDTH - 8) / len(real)  # all bins are equally wide
    places = [round(4 + i * width, 1) for i in range(len(edges))]

    def steps(shares: Sequence[float]) -> str:
        pairs = [f"{a:g} {y(share):g}L{b:g} {y(share):g}" for a, b, share in zip(places[:-1], places[1:], shares)]
        return f"M{places[0]:g} {BOTTOM}L" + "L".join(pairs) + f"L{places[-1]:g} {BOTTOM}"

    half = 0.5 if found.get("whole") else 0.0  # bins of whole numbers end between them
    ends = [
        tag("text", scale_word(edge, found), x=at, y=BOTTOM + 15, text_anchor=anchor)
        for edge, at, anchor in ((edges[0] + half, 4, "start"), (edges[-1] - half, WIDTH - 4, "end"))
    ]
    base = tag("g", tag("line", x1=4, x2=WIDTH - 4, y1=BOTTOM, y2=BOTTOM), *ends, class_="frame")
    shapes = [tag("path", d=steps(real) + "Z", class_="real area"), tag("path", d=steps(made), class_="made line")]
    return tag(
        "svg",
        base,
        *shapes,
        viewBox=f"0 0 {WIDTH} {BOTTOM + 20}",
        role="img",
        aria_label="histogram, real and synthetic",
    )


def scale_word(value: float, found: Mapping[str, Any]) -> str:
    """An end of a histogram in words: a number, a date, or a duration."""
    if found.get("times"):
        return day(value)
    return f"{short(value / 86400)} days" if found.get("spans") else short(value)


def shortened(text: str, length: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def heat_map(
    title: str, note: str, names: Sequence[str], matrix: Sequence[Sequence[float]], hovers: bool = True
) -> Html:
    """A figure of a matrix (d, d) of numbers in [-1, 1]: the stronger the colour, the further from 0; those below 0 in
    another one.
    """
    side = NAMES + CELL * len(names) + 4
    cells = []
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if i == j:
                continue
            hover = tag("title", f"{names[i]} × {names[j]}: {value:.3f}") if hovers else None
            kind, strength = ("made" if value >= 0 else "below"), min(round(abs(value), 3), 1.0)
            cells.append(
                tag("rect", hover, x=NAMES + j * CELL, y=i * CELL, width=CELL - 1, height=CELL - 1, class_=kind,
                    fill_opacity=strength)
            )  # fmt: skip
    words = [
        tag("text", shortened(name, 16), x=NAMES - 6, y=i * CELL + 12, text_anchor="end")
        for i, name in enumerate(names)
    ]
    picture = tag(
        "svg", *words, *cells, viewBox=f"0 0 {side} {CELL * len(names)}", role="img", aria_label=title, class_="heat"
    )
    return tag("figure", tag("figcaption", tag("b", title), tag("span", note, class_="note")), picture, class_="plot")


def grouped_bars(groups: Sequence[tuple[str, Sequence[tuple[str, str, float]]]]) -> Html:
    """Bars from 0 to 1 in groups.

    Args:
        groups: a name, and of each bar its name, its class and its value. Values outside [0, 1] are drawn as its ends,
            and written as they are.
    """
    left, right, y, parts = 150, 400, 0, []
    scale = Axis(0.0, 1.0, left, right)
    for name, bars in groups:
        parts.append(tag("text", name, x=0, y=y + 13, class_="group"))
        for word, kind, value in bars:
            y += 18
            length = max(scale(min(max(value, 0.0), 1.0)) - left, 0.0)
            parts.append(tag("text", word, x=left - 8, y=y + 11, text_anchor="end"))
            parts.append(tag("rect", x=left, y=y + 2, width=round(length, 1), height=11, class_=kind))
            parts.append(tag("text", f"{value:.3f}", x=left + round(length, 1) + 6, y=y + 11, class_="value"))
        y += 30
    return tag("svg", *parts, viewBox=f"0 0 450 {y}", role="img", aria_label="usefulness", class_="grouped")


def distance_curves(distances: Mapping[str, Sequence[float]]) -> Html:
    """How many synthetic rows have a real row within a distance: a curve of training and one of held-out rows, each
    given by its 101 quantiles.
    """
    width, height, left = 480, 230, 46
    largest = max(max(own[:100]) for own in distances.values()) or 1.0
    x, y = Axis(0.0, largest, left, width - 10), Axis(0.0, 1.0, height - 34, 10)
    frame: list[Child] = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        frame.append(tag("line", x1=left, x2=width - 10, y1=y(share), y2=y(share)))
        frame.append(tag("text", f"{100 * share:.0f} %", x=left - 7, y=y(share) + 4, text_anchor="end"))
    frame += [tag("text", short(at), x=x(at), y=height - 16, text_anchor="middle") for at in x.ticks()]
    lines = []
    for side, kind in (("test", "real"), ("train", "made")):
        pairs = [(x(min(value, largest)), y(share / 100)) for share, value in enumerate(distances[side])]
        lines.append(tag("path", d="M" + "L".join(f"{a:g} {b:g}" for a, b in pairs), class_=f"{kind} line"))
    words = tag(
        "span",
        tag("span", tag("i", class_="made"), "to training rows"),
        tag("span", tag("i", class_="real"), "to held-out rows"),
        class_="legend pairs",
    )  # fmt: skip
    head = tag("figcaption", tag("b", "Distance to the closest record"),
               tag("span", "share of the synthetic rows that have one within", class_="note"), words)  # fmt: skip
    picture = tag(
        "svg", tag("g", join(frame), class_="frame"), *lines, viewBox=f"0 0 {width} {height}", role="img",
        aria_label="distance to the closest record",
    )  # fmt: skip
    return tag("figure", head, picture, class_="plot curves")
