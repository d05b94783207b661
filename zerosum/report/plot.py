"""Line plots as small inline SVG, styled by the page (so that they follow light and dark), readable without scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from zerosum.report.html import Html, join, tag
from zerosum.report.record import Points

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 470, 12, 222
BUCKETS = 120
"""Points drawn per curve; more are averaged, with the range they covered as a band behind the line."""


@dataclass(frozen=True)
class Axis:
    """Maps values in [low, high] to pixels [start, end], evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of `value`."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> list[float]:
        """About `count` round values inside the axis."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1,), (1, 3), (1, 2, 5)):
                found = [step * 10.0**power for power in decades for step in steps]
                found = [value for value in found if self.low <= value <= self.high]
                if len(found) >= 3:
                    return found[:: math.ceil(len(found) / (count + 1))]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / count))
        step *= min((1, 2, 5, 10), key=lambda m: abs((self.high - self.low) / (m * step) - count))
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number for an axis: 50k, 1.2M, 0.05, 3e-05."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.4g}"


def thin(points: Points) -> list[tuple[float, float, float, float]]:
    """At most BUCKETS of (samples, mean, lowest, highest) of the finite values among `points`."""
    finite = [point for point in points if math.isfinite(point[1])]
    size = max(1, math.ceil(len(finite) / BUCKETS))
    buckets = [finite[i : i + size] for i in range(0, len(finite), size)]
    means = [(sum(x for x, _ in b) / len(b), sum(y for _, y in b) / len(b)) for b in buckets]
    return [(x, y, min(v for _, v in b), max(v for _, v in b)) for (x, y), b in zip(means, buckets, strict=True)]


def limits(values: list[float], log: bool) -> tuple[float, float]:
    """The range to draw: all of it, unless a few spikes would flatten the rest."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if len(ordered) >= 50 and not log:
        inner_low, inner_high = ordered[len(ordered) // 50], ordered[-1 - len(ordered) // 50]
        if high - low > 5 * (inner_high - inner_low) > 0:
            low, high = inner_low, inner_high
    if log:
        return low / 1.2, high * 1.2
    if low == high == 0:
        return 0.0, 1.0
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return (0.0 if 0 <= low < 0.35 * high else low - margin), high + margin


def plot(
    title: str,
    curves: dict[str, Points],
    *,
    note: str | None = None,
    floor: float | None = None,
    span: tuple[float, float] | None = None,
    log: bool = False,
) -> Html:
    """A figure of `curves` over samples shown.

    Args:
        title: the caption.
        curves: one line each, in the order of the legend.
        note: a sentence under the caption.
        floor: the best value that can be hoped for, as a dashed line.
        span: the range of the vertical axis; fitted to the values when not given.
        log: draw a logarithmic axis when all values are positive and span more than a factor of 30.
    """
    drawn = {name: points for name, curve in curves.items() if (points := thin(curve))}
    head = [tag("b", title), tag("span", note, class_="note") if note else None]
    if not drawn:
        return tag("figure", tag("figcaption", *head), tag("p", "no finite value yet", class_="missing"), class_="plot")
    values = [y for points in drawn.values() for _, *heights in points for y in heights] + (
        [floor] if floor is not None else []
    )
    log = log and span is None and min(values) > 0 and max(values) > 30 * min(values)
    low, high = span or limits(values, log)
    samples = [x for points in drawn.values() for x, *_ in points]
    x = Axis(min(samples), max(max(samples), min(samples) + 1), LEFT, RIGHT)
    y = Axis(low, high, BOTTOM, TOP, log)
    lines = [_curve(points, x, y, index) for index, points in enumerate(drawn.values())]
    parts = [_frame(x, y), _floor(floor, y), tag("g", *lines, clip_path="url(#inside)"), tag("g", class_="cursor")]
    picture = tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title} over samples shown",
        data_plot=_hover(drawn, x, y),
    )
    legend = [tag("span", tag("i", class_=f"c{i % 8}"), name) for i, name in enumerate(drawn) if name != title]
    if floor is not None:
        legend.append(tag("span", tag("i", class_="floor"), f"floor {floor:.4g}"))
    return tag("figure", tag("figcaption", *head, tag("span", *legend, class_="legend")), picture, class_="plot")


def _curve(points: list[tuple[float, float, float, float]], x: Axis, y: Axis, index: int) -> Html:
    def pixel(value: float) -> float:
        if y.log:
            value = max(value, y.low)
        return min(max(y(value), TOP - 2 * HEIGHT), BOTTOM + 2 * HEIGHT)  # a spike may leave the frame, not the picture

    def path(pairs: list[tuple[float, float]], close: str = "") -> str:
        return "M" + "L".join(f"{x(a):g} {pixel(b):g}" for a, b in pairs) + close

    if len(points) == 1:
        return tag("circle", cx=x(points[0][0]), cy=pixel(points[0][1]), r=3.5, class_=f"c{index % 8} dot")
    parts = []
    if any(high > low for _, _, low, high in points):
        outline = [(a, high) for a, _, _, high in points] + [(a, low) for a, _, low, _ in reversed(points)]
        parts.append(tag("path", d=path(outline, "Z"), class_=f"c{index % 8} band"))
    parts.append(tag("path", d=path([(a, b) for a, b, _, _ in points]), class_=f"c{index % 8} line"))
    if len(points) <= 25:  # few enough to see each
        parts += [tag("circle", cx=x(a), cy=pixel(b), r=2.6, class_=f"c{index % 8} dot") for a, b, _, _ in points]
    return join(parts)


def _frame(x: Axis, y: Axis) -> Html:
    def text(value: float, format: Callable[[float], str], **where: float | str) -> Html:
        return tag("text", format(value), **where)

    across = [
        join(
            [
                tag("line", x1=LEFT, x2=RIGHT, y1=y(t), y2=y(t)),
                text(t, short, x=LEFT - 7, y=y(t) + 4, text_anchor="end"),
            ]
        )
        for t in y.ticks()
    ]
    along = [text(t, short, x=x(t), y=BOTTOM + 20, text_anchor="middle") for t in x.ticks()]
    return tag("g", *across, *along, class_="frame")


def _floor(floor: float | None, y: Axis) -> Html:
    if floor is None:
        return Html()
    return tag("line", x1=LEFT, x2=RIGHT, y1=y(floor), y2=y(floor), class_="floor")


def _hover(drawn: dict[str, list[tuple[float, float, float, float]]], x: Axis, y: Axis) -> str:
    """What the page's script needs to name the values under the pointer."""
    series = [
        {
            "name": name,
            "points": [
                [round(a), float(f"{b:.4g}"), x(a), max(TOP, min(BOTTOM, y(max(b, y.low) if y.log else b)))]
                for a, b, _, _ in points
            ],
        }
        for name, points in drawn.items()
    ]
    return json.dumps(series, separators=(",", ":"))
