"""A report says which data a study began with, what has become of them, and what was said before."""

from dataclasses import replace

from harness.report.begun_with import begun_with
from harness.report.collect import collect
from harness.report.html import page
from harness.report.markdown import markdown
from harness.store.loaded_study import LoadedStudy, started_study
from harness.store.store import Store


def test_snapshot_parts_and_warnings_are_on_the_page(tuned: Store) -> None:
    record = started_study(tuned, "small")
    told = ["<b>7 pairs</b> are likely copies", "cat has 990 images"]
    provenance = {**record.provenance, "warnings": told}
    tuned.write_study(replace(record, provenance=provenance, data={**record.data, "extends": "older"}))
    study = LoadedStudy.open(tuned, "small")
    report = collect([study], images=0)
    found = report.studies[0].begun_with
    assert found is not None and found.warnings == tuple(told) and found.extends == "older"
    assert (found.train, found.test, found.left_out) == (359, 1438, 0)
    assert found.since == ""  # what comes from code would have to be read as a whole
    content = page(report)
    assert record.data["snapshot"] in content and "359 to train on, 1,438 sealed" in content
    assert "&lt;b&gt;7 pairs" in content and "cat has 990 images" in content
    assert "--extend older --as small" in content
    assert "older, whose images keep their part and their fold" in content
    assert report.document["studies"][0]["begun_with"]["snapshot"] == record.data["snapshot"]


def test_a_study_without_a_snapshot_has_no_such_table(tuned: Store) -> None:
    (tuned.study_folder("small") / "snapshot.json.gz").unlink()
    study = LoadedStudy.open(tuned, "small")
    assert study.snapshot is None and begun_with(study) is None
    assert "Told before" not in page(collect([study], images=0)) and markdown(collect([study], images=0))
