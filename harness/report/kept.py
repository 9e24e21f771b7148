"""A study's own page, in its folder, from where MLflow gets it."""

import re
from pathlib import Path

from harness.files import write_file
from harness.report.document import collect
from harness.report.html import page
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

IMAGES = re.compile(r'<meta name="images" content="(\d{1,9})">')


def place(store: Store, name: str) -> Path:
    return store.study_folder(name) / "report.html"


def remake(study: LoadedStudy) -> bool:
    """Make the page again, if there is one, with as many images as it was asked for; whether that was done.

    Raises what `collect` and `write_file` do.
    """
    path = place(study.store, study.name)
    asked = IMAGES.search(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    if asked is None:
        return False
    write_file(path, page(collect([study], images=int(asked[1]))).encode())
    return True
