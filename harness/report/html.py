"""A report as one HTML page that needs nothing but itself, and where a study's own page is, which MLflow shows."""

import json
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness import pages
from harness.charts.bundle import bundle
from harness.charts.spec import CONFIG
from harness.files import write_file
from harness.report import explore, sections
from harness.report.collect import collect
from harness.report.comparison import comparison
from harness.report.document import Report, StudyReport
from harness.report.figures import Figures
from harness.report.format import times
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

IMAGES = re.compile(r'<meta name="images" content="(\d{1,9})">')


def page(report: Report) -> str:
    """The whole page: its style, its scripts, and as plain data what they draw."""
    studies, several = report.studies, report.comparison is not None
    heading = ", ".join(study.study for study in studies)
    warnings = [
        (warning.level, f"{study.study}: {warning.text}" if several else warning.text)
        for study in studies
        for warning in study.warnings
    ]
    parts: list[dict[str, Any]] = []
    if report.comparison is not None:
        draw = Figures()
        inner = comparison(report.comparison, draw)
        data = safe_json({"trials": [], "charts": draw.specs, "config": CONFIG})
        parts.append(
            {"name": "", "sections": [("comparison", "Comparison", inner)], "about": "", "data": data}
        )
    for number, study in enumerate(studies):
        parts.append(
            _study(study, report.pixels.get(study.study, {}), number, name=study.study if several else "")
        )
    return pages.page(
        "report/page.html", scripts=[bundle(), pages.resource("report/script.js")], title=f"{heading}: report",
        heading=heading, images=report.images, warnings=warnings, parts=parts,
        contents=[(part["name"], part["sections"]) for part in parts],
    )  # fmt: skip


def _study(study: StudyReport, pixels: Any, number: int, *, name: str) -> dict[str, Any]:
    """name: as a heading, where there are several."""
    draw = Figures()
    found = sections.sections(study, pixels, draw, prefix=f"s{number}-")
    channels, height, width = study.data.image_shape
    about = (
        f"{study.data.name}: {study.data.num_images:,} training images of {height}×{width} pixels"
        f"{' in grey' if channels == 1 else ''}, {len(study.data.classes)} classes · {study.num_ended} of "
        f"{times(study.num_trials, 'trial')}, {study.num_folds} folds ·"
    )
    started = f"started {study.origin.started}"
    data = safe_json(explore.script_data(study, draw))
    return {"name": name, "sections": found, "about": about, "started": started, "data": data}


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


def safe_json(document: Any) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    said = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        said = said.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(said)
