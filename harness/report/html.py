"""A report as one HTML page that needs nothing but itself."""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from harness.report import explore, sections, stages
from harness.report.document import Report
from harness.report.format import times
from harness.report.svg import escaped
from harness.report.tables import Markup, paragraph

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; "
    "form-action 'none'"
)


def page(report: Report) -> str:
    """The whole page: its style, its script, and as plain data what the script needs."""
    document, studies = report.document, report.document["studies"]
    style, script = _resource("style.css"), _resource("script.js")
    names = ", ".join(study["study"] for study in studies)
    several = document["comparison"] is not None
    parts = [f"<h1>{escaped(names)}</h1>", _warnings(studies, several=several)]
    links = []
    if several:
        found = [("comparison", "Comparison", stages.comparison(document))]
        parts += [f'<h2 id="{key}">{title}</h2>{inner}' for key, title, inner in found]
        links.append(_links("", found))
    for number, study in enumerate(studies):
        found = sections.sections(study, report.pixels.get(study["study"], {}), prefix=f"s{number}-")
        links.append(_links(study["study"] if several else "", found))
        parts.append(_study(study, found, several=several, number=number))
    policy = POLICY.format(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="images" content="{report.images}">'
        f"<title>{escaped(names)}: report</title>\n<style>\n{style}</style></head>\n"
        f'<body><div class="layout"><nav aria-label="Contents">{"".join(links)}</nav>\n<main>\n'
        + "\n".join(parts)
        + f"\n</main></div>\n<script>{script}</script></body></html>\n"
    )


def safe_json(document: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    said = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        said = said.replace(sign, f"\\u{ord(sign):04x}")
    return said


def _resource(name: str) -> str:
    return (resources.files("harness.report") / name).read_text(encoding="utf-8")


def _warnings(studies: list[dict[str, Any]], *, several: bool) -> str:
    return "".join(
        f'<div class="warning {warning["level"]}">'
        f"{escaped(study['study'] + ': ' if several else '')}{escaped(warning['text'])}</div>"
        for study in studies
        for warning in study["warnings"]
    )


def _links(title: str, found: list[sections.Section]) -> str:
    items = "".join(f'<li><a href="#{key}">{escaped(words)}</a></li>' for key, words, _ in found)
    return (f"<b>{escaped(title)}</b>" if title else "") + f"<ul>{items}</ul>"


def _study(study: Mapping[str, Any], found: list[sections.Section], *, several: bool, number: int) -> str:
    level = "h3" if several else "h2"
    inner = "\n".join(f'<{level} id="{key}">{escaped(title)}</{level}>{part}' for key, title, part in found)
    data = f'<script type="application/json" class="data">{safe_json(explore.script_data(study))}</script>'
    head = paragraph(_about(study), "soft")
    if not several:
        return f'{head}<section class="study">{inner}{data}</section>'
    opened = " open" if number == 0 else ""
    summary = f"<summary><h2>{escaped(study['study'])}</h2></summary>"
    return f'<details class="study"{opened}>{summary}{head}{inner}{data}</details>'


def _about(study: Mapping[str, Any]) -> Markup:
    """What was done, in a line."""
    data = study["data"]
    channels, height, width = data["image_shape"]
    ended = sum(trial["state"] != "running" for trial in study["trials"])
    said = (
        f"{data['name']}: {data['num_images']:,} training images of {height}×{width} pixels"
        f"{' in grey' if channels == 1 else ''}, {len(data['classes'])} classes · {ended} of "
        f"{times(study['num_trials'], 'trial')}, {study['num_folds']} folds · "
    )
    return Markup(f'{escaped(said)}<span class="whole">started {escaped(study["origin"]["started"])}</span>')
