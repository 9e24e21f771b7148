"""The command that a study was begun with, and goes on with: its file, its name and the changes to it."""

from contextlib import suppress
from pathlib import Path

from harness import invocation
from harness.config import catalog, search_space
from harness.config.study_file import parse_study_file
from harness.errors import HarnessError
from harness.records import StudyRecord

STUDY_FILE = "study_file"  # in a record's provenance: where the file was


def begun_with(record: StudyRecord, home: Path, file: str = "") -> str:
    """The command, as a shell takes it; "" where the study's file is not here, or it was begun in Python.

    file: to be named where it is not known.
    """
    file = _study_file(record) or file
    if not file:
        return ""
    as_name = [] if Path(file).stem == record.name else ["--as", record.name]
    changes = [str(change) for change in record.provenance.get("overrides", [])]
    sets = [word for change in changes for word in ("--set", change)]
    return invocation.command("tune", file, *as_name, *sets, *_trials(record, changes), home=home)


def _study_file(record: StudyRecord) -> str:
    """Its name where that will do, else its path; of a study of an earlier release, the file with its text."""
    known = catalog.studies()
    began = Path(str(record.provenance.get(STUDY_FILE, "")))
    if began.is_file():
        named = known.get(began.stem)
        return began.stem if named and named.resolve() == began.resolve() else str(began)
    for name, path in known.items():
        with suppress(OSError, UnicodeError):
            if path.read_text(encoding="utf-8") == record.text:
                return name
    return ""


def _trials(record: StudyRecord, changes: list[str]) -> list[str]:
    """--trials, where the study has another number of them than its file says."""
    with suppress(HarnessError):
        study = parse_study_file(record.text.encode(), changes, name=record.name, source=record.name)
        if search_space.num_trials(study) == record.num_trials or study.search.patience is not None:
            return []
        return ["--trials", str(record.num_trials)]
    return []  # code of the user's own is gone
