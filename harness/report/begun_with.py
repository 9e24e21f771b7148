"""The data that a study began with, what has become of them since, and what was said of them: a table of a page."""

from markupsafe import Markup

from harness.analysis.study_data import study_data
from harness.data import FOLDER
from harness.errors import HarnessError
from harness.pages import joined, paragraph, table
from harness.report.data_document import BegunWith
from harness.store.loaded_study import LoadedStudy


def begun_with(study: LoadedStudy) -> BegunWith | None:
    """None for a study of an earlier release, which kept no snapshot.

    A folder's files are listed, and such that have another size or time are read.
    """
    record = study.record
    try:
        found = study_data(study, look=record.data["settings"]["name"] == FOLDER)
    except HarnessError:
        return None
    since = found.now and f"{found.now}; the study has its own copy of the images"
    if found.since is not None:
        since = str(found.since) if found.since else "as the study began"
    train, test, left_out = (
        sum(getattr(row, part) for row in found.classes) for part in ("train", "test", "left_out")
    )
    return BegunWith(
        source=found.source,
        snapshot=found.snapshot,
        extends=found.extends,
        train=train,
        test=test,
        left_out=left_out,
        groups=found.groups,
        since=since,
        warnings=tuple(record.provenance.get("warnings", ())),
    )


def data_table(data: BegunWith) -> Markup:
    """HTML: where the images came from, how many, which, and what is to be known of them."""
    images = f"{data.train:,} to train on, {data.test:,} sealed"
    rows: list[tuple[str, object]] = [
        ("source", data.source),
        ("images", images + (f", {data.left_out:,} left out" if data.left_out else "")),
    ]
    if data.groups < data.train:
        rows.append(("groups", f"{data.groups:,} of training images, each held out as one"))
    rows.append(("snapshot", Markup("<code>{}</code>").format(data.snapshot)))
    if data.extends:
        rows.append(("extends", f"{data.extends}, whose images keep their part and their fold"))
    if data.since:
        rows.append(("since", data.since))
    said = Markup('<p class="sub">Told before the study began</p>' if data.warnings else "")
    return joined(table(("what", "value"), rows, wrap=1), said, *map(paragraph, data.warnings))
