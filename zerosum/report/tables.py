"""One page about a synthetic table: how good, how private, and where not; a file without addresses outside itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zerosum.core.files import write_text
from zerosum.metrics.tables.imputing import MECHANISMS, SCORES, WAYS, ImputationScores, stated
from zerosum.metrics.tables.scores import BASELINES, MEANINGS, TableScores
from zerosum.report import table_plots as plots
from zerosum.report import table_verdict as verdict
from zerosum.report.html import Html, join, missing, rows, tag
from zerosum.report.record import Record
from zerosum.report.sections import flat, number, score_plots, section

HERE = Path(__file__).parent
PAGE = "table.html"
"""Of a run folder, the page about its rows."""
SECTIONS = ("scores", "usefulness", "privacy", "columns", "pairs", "protocol")
COLUMNS, SIDE = 60, 40
"""Columns that are drawn at most, the worst ones, and those of a heat map."""
USEFUL = (
    ("auc", "AUC, trees"), ("linear_auc", "AUC, logistic"), ("f1", "F1, trees"), ("accuracy", "Accuracy, trees"),
    ("r2", "R², trees"), ("linear_r2", "R², ridge"),
)  # fmt: skip


def write_tables(path: Path, scores: TableScores, title: str = "Synthetic table", data: str = "") -> Path:
    """Write the page about a synthetic table to a file, and return its path.

    Args:
        path: an HTML file; folders are made.
        scores: what `evaluate_tables` gave.
        title: what made the rows.
        data: the name of the real table.

    Raises:
        BadFile: it cannot be written.
    """
    write_text(path, render_tables(scores, title, data))
    return path


def render_tables(scores: TableScores, title: str = "Synthetic table", data: str = "") -> str:
    """The HTML of the page about a synthetic table."""
    links = tag("nav", *(tag("a", name.capitalize(), href=f"#{name}") for name in SECTIONS))
    body = [
        _header(scores, title, data), links, _notes(scores), _scores(scores), _usefulness(scores), _privacy(scores),
        _columns(scores), _pairs(scores), _protocol(scores), tag("footer", "Made by zerosum."),
    ]  # fmt: skip
    style = "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "tables.css"))
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} of {data}" if data else title),
        tag("style", Html(style)),
    ]
    return "<!doctype html>\n" + tag("html", tag("head", *head), tag("body", tag("main", join(body))), lang="en")


def _header(scores: TableScores, title: str, data: str) -> Html:
    """What it is, and the two verdicts."""
    p = scores.protocol
    judged = [("How good", verdict.quality(scores)), ("How private", verdict.privacy(scores))]
    blocks = [
        tag(
            "div",
            tag("h2", heading),
            tag("span", own.words, class_=f"badge {own.tone}"),
            tag("ul", *(tag("li", reason) for reason in own.reasons)) if own.reasons else None,
        )
        for heading, own in judged
    ]
    facts = (("synthetic rows", p["n_synthetic"]), ("training rows", p["n_train"]), ("held-out rows", p["n_test"]),
             ("columns compared", p["columns"]), ("seed", p["seed"]))  # fmt: skip
    tiles = [tag("div", tag("dt", name), tag("dd", number(value))) for name, value in facts]
    source = join([tag("span", " of ", class_="on"), data]) if data else None
    return tag(
        "header",
        tag("p", "zerosum table report", class_="over"),
        tag("h1", title, source),
        tag("div", *blocks, class_="verdicts"),
        tag("dl", *tiles, class_="tiles"),
    )


def _notes(scores: TableScores) -> Html:
    if not scores.notes:
        return Html()
    return tag("aside", tag("ul", *(tag("li", note) for note in scores.notes)), class_="problems")


def run_scores(record: Record) -> Html:
    """Of a run that made rows: the last full evaluation, where its own page is, and the scores of the snapshots."""
    if isinstance(record.scores, ImputationScores):
        body = imputation_table(record.scores)
    elif not isinstance(record.scores, TableScores):
        body = missing(record.problems.get("scores.json", "No full evaluation yet."))
    else:
        link = tag("a", PAGE, href=PAGE) if (record.folder / PAGE).is_file() else None
        body = join([score_table(record.scores), tag("p", "Column by column: ", link, ".") if link else None])
    return section("Scores", "scores", body, score_plots(record))


def _scores(scores: TableScores) -> Html:
    return section("Scores", "scores", score_table(scores))


def score_table(scores: TableScores) -> Html:
    """All scores beside those of the baselines."""
    names = list(scores.baselines)
    body = []
    for key, value in scores.values.items():
        name, direction, words = MEANINGS[key]
        good = {"lower": "↓ lower", "higher": "↑ higher"}.get(direction, direction)
        cells = [tag("td", tag("b", number(value)), class_="n")]
        cells += [tag("td", number(scores.baselines[other].get(key)), class_="n") for other in names]
        body.append(tag("tr", tag("th", name, tag("small", words), scope="row"), *cells, tag("td", good)))
    heads = [tag("th", name, class_="n") for name in ("this table", *(BASELINES[name].lower() for name in names))]
    table = tag(
        "table",
        tag("thead", tag("tr", tag("th", "score"), *heads, tag("th", "good"))),
        tag("tbody", *body),
        class_="scores",
    )
    hint = (
        "Real rows: what a perfect generator would get. Copula: columns tied together by correlations alone. "
        "Independent columns: each cell drawn by itself."
    )
    return join([tag("div", table, class_="scroll"), tag("p", hint, class_="hint") if names else None])


def imputation_table(scores: ImputationScores) -> Html:
    """What an imputer got wrong of cells that were hidden, beside simple ways to fill them in."""
    ways, body, before = list(next(iter(scores.values.values()))), [], None
    for mechanism, key, found in scores.rows():
        name, words = SCORES[key]
        lost = f"{MECHANISMS[mechanism]} ({mechanism.upper()})" if mechanism != before else ""
        printed = [number(found.get(way)) for way in ways]
        cells = [tag("td", text if index else tag("b", text), class_="n") for index, text in enumerate(printed)]
        body.append(tag("tr", tag("td", lost), tag("th", name, tag("small", words), scope="row"), *cells))
        before = mechanism
    heads = [tag("th", "lost"), tag("th", "score"), *(tag("th", WAYS[way], class_="n") for way in ways)]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), class_="scores")
    hint = tag("p", f"{stated(scores.protocol)}; lower is better everywhere.", class_="hint")
    return join([tag("div", table, class_="scroll"), hint, *(tag("p", note, class_="hint") for note in scores.notes)])


def _usefulness(scores: TableScores) -> Html:
    """Bars of what models reach that were trained on these rows, on real ones, on the baselines'."""
    groups = []
    for key, name in USEFUL:
        if key in scores.values:
            bars = [("these rows", "made", scores.values[key])]
            bars += [
                (BASELINES[other].lower(), other, own[key]) for other, own in scores.baselines.items() if key in own
            ]
            groups.append((name, bars))
    if not groups:
        return section("Usefulness", "usefulness", missing("Not measured: see the notes above."))
    target = scores.protocol.get("target", "the target")
    intro = tag(
        "p", f"Models learn to predict {target} from each table, and are tested on the same held-out real rows."
    )
    return section("Usefulness", "usefulness", intro, plots.grouped_bars(groups))


def _privacy(scores: TableScores) -> Html:
    distances = scores.figures.get("distances")
    if not distances:
        return section("Privacy", "privacy", missing("Not measured: see the notes above."))
    words = (
        "Where the two curves lie on each other, rows are as near to records that the generator never saw as to those "
        "that it learned from. Where the curve of training rows is higher at small distances, these are given away."
    )
    return section("Privacy", "privacy", tag("p", words), plots.distance_curves(distances))


def _columns(scores: TableScores) -> Html:
    """Small multiples, the worst columns first."""
    drawn: Mapping[str, Any] = scores.figures.get("columns", {})
    order = sorted(drawn, key=lambda name: scores.per_column[name]["shape"])
    shown = []
    for name in order[:COLUMNS]:
        own = scores.per_column[name]
        lost = f", {own['vanished']:.0f} of {own['rare']:.0f} rare values lost" if own.get("vanished") else ""
        shown.append(plots.column(name, drawn[name], f"{own['shape']:.3f}{lost}"))
    words = "The worst first. The number is the column's score: 1 = every value as frequent as in the real rows."
    if len(order) > COLUMNS:
        words += f" The best {len(order) - COLUMNS} of {len(order)} columns are not drawn."
    grid = tag("div", *shown, class_="small-multiples")
    return section("Columns", "columns", tag("p", words), plots.legend(), grid)


def _pairs(scores: TableScores) -> Html:
    if not scores.per_pair:
        return section("Pairs", "pairs", missing("A single column has no pairs."))
    matrix = scores.per_pair["similarity"]
    worst = sorted(range(len(matrix)), key=lambda i: sum(matrix[i]))[:SIDE]
    kept = sorted(worst)

    def part(name: str) -> list[list[float]]:
        return [[scores.per_pair[name][i][j] for j in kept] for i in kept]

    names = [scores.per_pair["names"][i] for i in kept]
    apart = [[1.0 - value for value in row] for row in part("similarity")]
    largest = max((value for row in apart for value in row), default=0.0) or 1.0
    scaled = [[value / largest for value in row] for row in apart]
    maps = [
        plots.heat_map("Real", "strength of association", names, part("real")),
        plots.heat_map("Synthetic", "the same", names, part("synthetic")),
        plots.heat_map("Difference", f"full colour: {largest:.2f}", names, scaled, hovers=False),
    ]
    words = "Correlations of numbers (orange: negative), Cramér's V of all others. The difference is 1 − similarity."
    if len(matrix) > SIDE:
        words += f" The worst {SIDE} of {len(matrix)} columns are shown."
    return section(
        "Pairs",
        "pairs",
        tag("p", words),
        tag("div", *maps, class_="plots maps"),
        tag("h3", "Worst pairs"),
        _worst(scores),
    )


def _worst(scores: TableScores, most: int = 8) -> Html:
    """The pairs that agree least."""
    names, matrix = scores.per_pair["names"], scores.per_pair["similarity"]
    pairs = sorted((matrix[i][j], i, j) for i in range(len(names)) for j in range(i))[:most]
    real, made = scores.per_pair["real"], scores.per_pair["synthetic"]
    return rows(
        (f"{names[j]} × {names[i]}", f"{score:.3f} (real {real[i][j]:.2f}, synthetic {made[i][j]:.2f})")
        for score, i, j in pairs
    )


def _protocol(scores: TableScores) -> Html:
    words = tag("p", "Scores can be compared where these are equal.")
    return section("Protocol", "protocol", words, rows(flat(scores.protocol)))
