"""A report as one HTML page that needs nothing but itself, and where a study's own page is, which MLflow shows."""

import base64
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from harness.files import write_file
from harness.report import explore, sections
from harness.report.collect import collect
from harness.report.comparison import comparison
from harness.report.document import Report, StudyReport
from harness.report.format import times
from harness.report.markup import Markup, escaped, paragraph
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; "
    "form-action 'none'"
)
IMAGES = re.compile(r'<meta name="images" content="(\d{1,9})">')


def page(report: Report) -> str:
    """The whole page: its style, its script, and as plain data what the script needs."""
    studies, several = report.studies, report.comparison is not None
    style, script = _resource("style.css"), _resource("script.js")
    names = ", ".join(study.study for study in studies)
    warnings = "".join(
        f'<div class="warning {warning.level}">'
        f"{escaped(study.study + ': ' if several else '')}{escaped(warning.text)}</div>"
        for study in studies
        for warning in study.warnings
    )
    parts = [f"<h1>{escaped(names)}</h1>", warnings]
    links = []
    if report.comparison is not None:
        inner = comparison(report.comparison)
        parts.append(f'<h2 id="comparison">Comparison</h2>{inner}')
        links.append(_links("", [("comparison", "Comparison", inner)]))
    for number, study in enumerate(studies):
        found = sections.sections(study, report.pixels.get(study.study, {}), prefix=f"s{number}-")
        links.append(_links(study.study if several else "", found))
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


def own_page(store: Store, name: str) -> Path:
    """Where a study's own page is."""
    return store.study_folder(name) / "report.html"


def renew_own_page(study: LoadedStudy) -> bool:
    """Write a study's own page anew, if it has one, with as many images as it was asked for; whether that was done.

    Raises what `collect` and `write_file` do.
    """
    path = own_page(study.store, study.name)
    asked = IMAGES.search(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    if asked is None:
        return False
    write_file(path, page(collect([study], images=int(asked[1]))).encode())
    return True


def safe_json(document: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    said = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        said = said.replace(sign, f"\\u{ord(sign):04x}")
    return said


def _resource(name: str) -> str:
    return (resources.files("harness.report") / name).read_text(encoding="utf-8")


def _links(title: str, found: list[sections.Section]) -> str:
    items = "".join(f'<li><a href="#{key}">{escaped(words)}</a></li>' for key, words, _ in found)
    return (f"<b>{escaped(title)}</b>" if title else "") + f"<ul>{items}</ul>"


def _study(study: StudyReport, found: list[sections.Section], *, several: bool, number: int) -> str:
    level = "h3" if several else "h2"
    inner = "\n".join(f'<{level} id="{key}">{escaped(title)}</{level}>{part}' for key, title, part in found)
    data = f'<script type="application/json" class="data">{safe_json(explore.script_data(study))}</script>'
    channels, height, width = study.data.image_shape
    said = (
        f"{study.data.name}: {study.data.num_images:,} training images of {height}×{width} pixels"
        f"{' in grey' if channels == 1 else ''}, {len(study.data.classes)} classes · {study.num_ended} of "
        f"{times(study.num_trials, 'trial')}, {study.num_folds} folds · "
    )
    started = f'<span class="whole">started {escaped(study.origin.started)}</span>'
    head = paragraph(Markup(f"{escaped(said)}{started}"), "soft")
    if not several:
        return f'{head}<section class="study">{inner}{data}</section>'
    opened = " open" if number == 0 else ""
    summary = f"<summary><h2>{escaped(study.study)}</h2></summary>"
    return f'<details class="study"{opened}>{summary}{head}{inner}{data}</details>'
