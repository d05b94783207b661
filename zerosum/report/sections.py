"""The sections of the page, each made from the record alone; what is missing is said in its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from zerosum.metrics.scores import MEANINGS, Scores
from zerosum.metrics.tables.imputing import ImputationScores
from zerosum.metrics.tables.scores import MEANINGS as TABLE_MEANINGS
from zerosum.report.command import written
from zerosum.report.html import Child, Html, escape, join, missing, rows, tag
from zerosum.report.pictures import embed
from zerosum.report.plot import plot, short
from zerosum.report.record import CLOCKS, Points, Record, is_number

STAGES = 16
"""Grids embedded at most: the first, the last, and others spread evenly between them."""
LARGEST = 1024
"""Pixels on the longer side of an embedded grid."""
GOOD = {"balanced", "healthy", "ok", "none"}
GRAVE = {"critical", "severe", "error", "ill", "stop", "high", "grave"}


def number(value: Any) -> str:
    """A number with at most four digits that matter, or any other value as text."""
    if not is_number(value):
        return "–" if value is None else str(value)
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds in words: 45 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def find(tree: Any, *names: str) -> Any:
    """The first value stored under one of `names`, anywhere in nested objects; None when there is none."""
    if not isinstance(tree, Mapping):
        return None
    for name in names:
        if tree.get(name) not in (None, "", [], {}):
            return tree[name]
    return next((value for child in tree.values() if (value := find(child, *names)) is not None), None)


def title(record: Record) -> tuple[str, str]:
    """(system, data) as words."""
    data = record.config.get("data")
    if isinstance(data, Mapping):
        data = next((data[key] for key in ("name", "source", "data") if data.get(key)), None)
    data = data if data is not None else find(record.config, "source", "data_name")
    return str(find(record.config, "system") or record.folder.name), str(data or "data unknown")


# --- header


def tone(record: Record) -> str:
    """The colour of the verdict: "good", "watch", "bad" or "unknown"."""
    verdict = str(record.health.get("verdict") or "").lower()
    if not verdict or verdict == "unknown":
        return "unknown"
    findings = [f for f in record.health.get("findings") or [] if isinstance(f, Mapping)]
    if any(gravity(finding) == "bad" for finding in findings):
        return "bad"
    return "good" if verdict in GOOD else "watch"


def gravity(finding: Mapping[str, Any]) -> str:
    """The colour of one finding, from its severity: a word, or a number from 0 to 1."""
    severity = finding.get("severity")
    if is_number(severity):
        return "bad" if severity >= 0.66 else "watch" if severity >= 0.33 else "note"
    word = str(severity or "").lower()
    return "bad" if word in GRAVE else "note" if word in ("info", "note", "low") else "watch"


def header(record: Record) -> Html:
    """The system, its data, the verdict, and the run in five numbers."""
    system, data = title(record)
    verdict = str(record.health.get("verdict") or "no verdict yet")
    last = max(record.lines, key=lambda line: line["samples"], default={})
    seconds = last.get("seconds")
    score = headline(record)
    facts = [
        ("samples shown", short(last["samples"]) if last else None),
        ("time", duration(seconds) if is_number(seconds) and math.isfinite(seconds) else None),
        (score[0], number(score[1])) if score else ("", None),
        ("seed", find(record.config, "seed")),
        ("device", _device(record.config.get("device"))),
    ]
    tiles = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts if value is not None]
    return tag(
        "header",
        tag("p", "zerosum run report", class_="over"),
        tag("h1", system, tag("span", " on ", class_="on"), data),
        tag("p", tag("span", verdict, class_=f"badge {tone(record)}"), _count(record), class_="verdict"),
        tag("dl", *tiles, class_="tiles") if tiles else None,
    )


def _device(device: Any) -> str | None:
    """{"type": "cuda", "processes": 2, "precision": "bf16"} as words."""
    if not isinstance(device, Mapping):
        return None if device is None else str(device)
    processes = device.get("processes")
    several = f"{processes} × " if is_number(processes) and processes > 1 else ""
    return f"{several}{device.get('type')} {device.get('precision') or ''}".strip()


def _count(record: Record) -> Html | None:
    found = len(record.health.get("findings") or [])
    return tag("a", f"{found} finding{'s' * (found > 1)}", href="#health") if found else None


def headline(record: Record) -> tuple[str, float] | None:
    """The score to name first: of the last full evaluation, or else of the last snapshot."""
    if isinstance(record.scores, ImputationScores):
        return record.scores.headline
    if record.scores and record.scores.values:
        key, value = next(iter(record.scores.values.items()))
        return (record.scores.printed(key) if isinstance(record.scores, Scores) else TABLE_MEANINGS[key][0]), value
    for key, points in record.curves("scores").items():
        return meanings(record).get(key, (key, "", ""))[0], points[-1][1]
    return None


def problems(record: Record) -> Html:
    """What of the run folder is missing or broken."""
    if not record.problems:
        return Html()
    return tag("aside", tag("ul", *(tag("li", text) for text in record.problems.values())), class_="problems")


# --- pictures


def pictures(record: Record) -> Html:
    """The latest grid, large, with a slider through the earlier ones."""
    stages, broken = [], []
    step = max(1.0, (len(record.grids) - 1) / (STAGES - 1))
    chosen = [record.grids[round(i * step)] for i in range(min(len(record.grids), STAGES))]
    for grid in chosen:
        try:
            address, width = embed(grid.path, LARGEST)
        except (OSError, SyntaxError):  # Pillow's PNG reader raises either
            broken.append(grid.path.name)
            continue
        stages.append((f"{short(grid.samples)} samples", address, width))
    note = missing(f"{', '.join(broken)} cannot be read and is left out.") if broken else None
    if not stages:
        return section(
            "Samples", "samples", note or missing("No pictures yet: the first is drawn at the first snapshot.")
        )
    label, address, width = stages[-1]
    crisp = "crisp" if width < 480 else None  # small pictures are enlarged without blur
    figure = tag(
        "figure",
        tag("img", src=address, alt=f"generated samples after {label}", id="stage", class_=crisp),
        tag("figcaption", tag("span", label, id="stage-label"), class_="stage"),
        class_="hero",
    )
    if len(stages) == 1:
        return section("Samples", "samples", figure, note)
    strip = [
        tag("button", tag("img", src=a, alt=text, class_=crisp), tag("span", text), type="button")
        for text, a, _ in stages
    ]
    slider = tag(
        "input",
        type="range",
        id="slider",
        min=0,
        max=len(stages) - 1,
        value=len(stages) - 1,
        aria_label="samples shown",
    )
    same = "Every picture shows the same latent vectors, so that it can be followed how each sample takes shape."
    return section("Samples", "samples", figure, slider, tag("div", *strip, class_="strip"), tag("p", same), note)


# --- scores


def scores(record: Record) -> Html:
    """The last full evaluation beside its floor, its protocol, and the scores of the snapshots."""
    full = record.scores
    if not isinstance(full, Scores):
        body = missing(record.problems.get("scores.json", "No full evaluation yet."))
    else:
        body = join([_score_table(full), _protocol(full.protocol)])
    return section("Scores", "scores", body, score_plots(record))


def score_plots(record: Record) -> Html | None:
    """The scores of the snapshots, a plot each."""
    plots, known = [], meanings(record)
    floors: Mapping[str, Any] = {}
    for line in record.of_kind("scores"):
        floors = line["floor"] if isinstance(line.get("floor"), Mapping) else floors
    for key, points in record.curves("scores", lambda name: name in known and not name.endswith("_std")).items():
        name, direction, words = known[key]
        floor = floors.get(key) if is_number(floors.get(key)) else None
        plots.append(plot(name, {name: points}, note=f"{words}; good: {direction}", floor=floor))
    return tag("div", *plots, class_="plots") if plots else None


def meanings(record: Record) -> Mapping[str, tuple[str, str, str]]:
    """What the scores of a run are called, which direction is good, and what they say."""
    return TABLE_MEANINGS if record.table else MEANINGS


def _score_table(full: Scores) -> Html:
    body = []
    for key, value in full.values.items():
        if key.endswith("_std") and key.removesuffix("_std") in full.values:
            continue
        _, direction, words = MEANINGS[key]
        cells = [
            tag("th", full.printed(key), tag("small", words), scope="row"),
            tag("td", tag("b", number(value)), _spread(full.values.get(f"{key}_std")), class_="n"),
            tag("td", number(full.floor.get(key)), class_="n"),
            tag("td", {"lower": "↓ lower", "higher": "↑ higher"}.get(direction, direction)),
        ]
        body.append(tag("tr", *cells))
    titles = [tag("th", "score"), tag("th", "value", class_="n"), tag("th", "floor", class_="n"), tag("th", "good")]
    table = tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *body), class_="scores")
    hint = "The floor is what held-out real samples score in the place of generated ones: as a perfect generator would."
    return join([tag("div", table, class_="scroll"), tag("p", hint, class_="hint") if full.floor else None])


def _spread(deviation: float | None) -> str | None:
    return None if deviation is None else f" ± {number(deviation)}"


def _protocol(protocol: Mapping[str, Any]) -> Html:
    if not protocol:
        return missing("The protocol of these scores was not stored: don't compare them with others.")
    return tag("details", tag("summary", "Protocol: how these scores were measured"), rows(flat(protocol)))


# --- curves


def curves(record: Record) -> Html:
    """Losses, gradient norms, what the discriminator sees, and speed."""
    if not record.of_kind("log"):
        return section("Curves", "curves", missing(record.problems.get("metrics.jsonl", "No log lines yet.")))
    names = list(record.curves("log"))
    gradients = _some(record.curves("log"), [name for name in names if name.endswith("/gradient")])
    losses: list[str] = []
    plots = []
    for player in [name.removesuffix("/gradient") for name in gradients]:
        terms = [n for n in names if n.startswith(f"{player}/") and n not in gradients and not _of_discriminator(n)]
        losses += terms
        plots.append(plot(f"Loss of {player}", _some(record.curves("log"), terms), note="by term"))
    if gradients:
        plots.append(plot("Gradient norms", gradients, note="of each player, before clipping", log=True))
    watched = {**record.curves("log", _of_discriminator), **record.curves("health", _of_discriminator)}
    if watched:
        plots.append(plot("Discriminator accuracy", watched, note="1/2: cannot tell; 1: sure", span=(0.0, 1.0)))
    seen = {*losses, *gradients, *watched}
    for name in [n for n in names if n not in seen]:
        plots.append(plot(name, {name: record.curves("log")[name]}))
    if logits := record.curves("health", lambda name: name.startswith("logit")):
        plots.append(plot("Discriminator logits", logits, note="means; positive: taken for real"))
    evidence = record.curves("health", lambda name: name not in watched and name not in logits)
    intro = tag(
        "p", "Over samples shown. The line is the mean, the band the range. Point at a curve to read its values."
    )
    return section(
        "Curves", "curves", intro, tag("div", *plots, class_="plots"), _evidence(evidence), _not_finite(record)
    )


def _evidence(found: dict[str, Points]) -> Html | None:
    """What else the health check measured, one plot each, folded away."""
    if not found:
        return None
    plots = [plot(name.replace("_", " "), {name.replace("_", " "): points}) for name, points in found.items()]
    summary = tag("summary", f"All that the health check measures ({len(plots)} curves)")
    return tag("details", summary, tag("div", *plots, class_="plots"))


def _of_discriminator(name: str) -> bool:
    return "accuracy" in name.lower()


def _some(found: dict[str, Points], names: Iterable[str]) -> dict[str, Points]:
    return {name: found[name] for name in names}


def _not_finite(record: Record) -> Html | None:
    first = {
        name: next(samples for samples, value in points if not math.isfinite(value))
        for name, points in record.curves("log").items()
        if any(not math.isfinite(value) for _, value in points)
    }
    if not first:
        return None
    return missing("Not finite: " + ", ".join(f"{name} from {short(at)} samples" for name, at in first.items()) + ".")


# --- health


def health(record: Record) -> Html:
    """The verdict and each finding with its evidence and advice, and the events of the run."""
    findings = [finding for finding in record.health.get("findings") or [] if isinstance(finding, Mapping)]
    if not record.health:
        body = missing(record.problems.get("health.json", "No verdict yet."))
    elif not findings:
        body = tag("p", "Nothing was found that needs your attention.", class_="fine")
    else:
        body = join(_finding(finding) for finding in findings)
    events = [tag("li", tag("b", short(line["samples"])), " ", _sentence(line)) for line in record.of_kind("event")]
    timeline = join([tag("h3", "Events"), tag("ol", *events, class_="events")]) if events else None
    return section("Health", "health", body, timeline)


def _finding(finding: Mapping[str, Any]) -> Html:
    at = finding.get("samples")
    severity = finding.get("severity")
    evidence = finding.get("evidence")
    proof = rows(flat(evidence)) if isinstance(evidence, Mapping) else tag("p", _text(evidence))
    name = str(finding.get("illness") or "finding").replace("_", " ")
    meta = [number(severity) if severity is not None else None, f"at {short(at)} samples" if is_number(at) else None]
    return tag(
        "article",
        tag("h3", name, tag("small", " · ".join(filter(None, meta)))),
        tag("h4", "Evidence"),
        proof,
        tag("h4", "Advice"),
        tag("p", _text(finding.get("advice"))),
        class_=f"finding {gravity(finding)}",
    )


def _sentence(line: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in line.items() if name not in CLOCKS}
    return " · ".join(str(v) if isinstance(v, str) else f"{name} {_text(v)}" for name, v in rest.items())


# --- settings


def settings(record: Record) -> Html:
    """The resolved command, every setting, the versions, and what is known of the data."""
    if not record.config:
        return section("Settings", "settings", missing(record.problems.get("config.json", "config.json is empty.")))
    config = dict(record.config)
    command = config.get("command")
    parts: list[Html] = []
    if command:
        parts.append(join([tag("h3", "The resolved command"), tag("pre", tag("code", written(command)))]))
    data = config.pop("data", None)
    if data is not None:
        facts: list[tuple[Child, Child]] = flat(data) if isinstance(data, Mapping) else [("source", str(data))]
        parts.append(join([tag("h3", "Data"), rows(facts)]))
    if isinstance(chosen := config.pop("chosen", None), Mapping) and chosen:
        parts.append(join([tag("h3", "Chosen automatically"), choices(chosen)]))
    for name in [key for key, value in config.items() if isinstance(value, Mapping) and value]:
        table = rows(flat(config.pop(name)))
        heading = "Every setting" if name == "command" else str(name).replace("_", " ").capitalize()
        parts.append(tag("details", tag("summary", heading), table))
    config.pop("command", None)
    if config:
        parts.append(tag("details", tag("summary", "This run"), rows(flat(config)), open="open"))
    return section("Settings", "settings", *parts)


def choices(chosen: Mapping[str, Any]) -> Html:
    """Settings that were "auto", from {setting: "value: reason"}."""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in ("setting", "value", "why"))))
    body = []
    for name, text in chosen.items():
        value, _, why = str(text).partition(": ")
        body.append(tag("tr", tag("th", name, scope="row"), tag("td", value), tag("td", why)))
    return tag("div", tag("table", head, tag("tbody", *body), class_="facts"), class_="scroll")


def flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[Child, Child]]:
    """Nested settings as (dotted name, text) pairs."""
    found: list[tuple[Child, Child]] = []
    for name, value in tree.items():
        if name == "type" and len(tree) > 1 and prefix:
            continue  # which class of ours it was made of
        if isinstance(value, Mapping) and value:
            found += flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", _sentences(value) or _text(value)))
    return found


def _sentences(value: Any) -> Html | None:
    """A list of notes, one under the other."""
    if isinstance(value, list) and any(isinstance(item, str) and " " in item for item in value):
        return tag("ul", *(tag("li", _text(item)) for item in value))
    return None


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return "off" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def section(heading: str, anchor: str, *children: Html | None) -> Html:
    """A section of the page with its heading."""
    return tag("section", tag("h2", heading), *(escape(child) for child in children if child is not None), id=anchor)
