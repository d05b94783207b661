"""The page as a whole: one file without a single address outside itself."""

from __future__ import annotations

from pathlib import Path

from zerosum.core.files import write_text
from zerosum.report import sections, tables
from zerosum.report.html import Html, join, tag
from zerosum.report.record import Record, read

HERE = Path(__file__).parent
SECTIONS = ("samples", "scores", "curves", "health", "settings")
INSIDE = tag("clipPath", tag("rect", x=50, y=8, width=422, height=216), id="inside")  # what curves may cover


def write(folder: Path) -> Path:
    """Write `report.html` into a run folder, from whatever of its files there is, and return its path.

    Reads config.json, metrics.jsonl, scores.json, health.json and samples/*.png; what is missing or half-written is
    said on the page. Raises BadFile when the folder is not there or cannot be written.
    """
    path = folder / "report.html"
    write_text(path, render(read(folder)))
    return path


def render(record: Record) -> str:
    """The HTML of a run's report."""
    system, data = sections.title(record)
    shown = SECTIONS[1:] if record.table else SECTIONS
    links = tag("nav", *(tag("a", name.capitalize(), href=f"#{name}") for name in shown))
    body = [
        tag("svg", INSIDE, width=0, height=0, class_="hidden"),
        sections.header(record),
        links,
        sections.problems(record),
        *([tables.run_scores(record)] if record.table else [sections.pictures(record), sections.scores(record)]),
        sections.curves(record),
        sections.health(record),
        sections.settings(record),
        tag("footer", "Made by zerosum from the files of the run folder ", tag("code", record.folder.name), "."),
        tag("script", _asset("page.js")),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{system} on {data}"),
        tag("style", _asset("page.css")),
    ]
    return "<!doctype html>\n" + tag("html", tag("head", *head), tag("body", tag("main", join(body))), lang="en")


def _asset(name: str) -> Html:
    """A file of ours beside this one, as it is."""
    return Html((HERE / name).read_text(encoding="utf-8"))
