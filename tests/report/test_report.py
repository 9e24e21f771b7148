"""The report: what it says is what is recorded, it needs nothing but itself, and no name can break it."""

import base64
import hashlib
import json
import math
import re
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import leaderboard
from harness.analysis.compare import compare, named
from harness.charts.bundle import bundle
from harness.cli import run
from harness.documents import to_json
from harness.report import answer, html
from harness.report.collect import collect
from harness.report.document import Gallery, ImageToLookAt, Report
from harness.report.html import safe_json
from harness.report.markdown import code, markdown, plain
from harness.store.findings import Check, EarlierLook
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store
from harness.tracking.deliver import findings_of
from tests.analysis.made_up import Shape, made_up
from tests.made_up_findings import audit, confirmation, final_test

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='x' & <!-- \u2028 ]]> |`_@you_`"
)
CLASSES = (HOSTILE, *(f"<b>{number}</b>" for number in range(1, 10)))


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, content: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the studies `one` and `two`, which can be compared, and `evil`, whose every word is hostile."""
    store = Store(tmp_path_factory.mktemp("made"))
    made_up(store, "one")
    made_up(store, "two", seed=1)
    evil = Shape(num_trials=7, num_folds=2, num_epochs=2, failed=0.4)
    made_up(store, "evil", evil, question=HOSTILE, classes=CLASSES, reason=HOSTILE)
    return store.home


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(made, tmp_path / "home")))


def page(report: Report) -> str:
    """Without the library of charts, with plain spaces."""
    return html.page(report).replace(bundle(), "").replace("\u00a0", " ")


def opened(store: Store, *names: str) -> list[LoadedStudy]:
    return [LoadedStudy.open(store, name) for name in names]


def _audit(store: Store, name: str, sentence: str) -> None:
    check = Check("permuted labels", "failed", 1.0, 0.1, sentence)
    store.write_finding(name, audit(study=name, verdict="failed", sentence=sentence, findings=(check,)))


def test_the_page_says_what_the_records_say(tuned: Store) -> None:
    report = collect(opened(tuned, "small"))
    content = page(report)
    stands = leaderboard.status(*opened(tuned, "small"))
    best, honest = stands.best, stands.honest
    assert best is not None and honest is not None
    assert f"{best.mean:.4f} ± {best.half_width:.4f}" in content
    assert f"{honest.corrected:.4f} (95 % {honest.low:.4f} to {honest.high:.4f})" in content
    assert f"harness reproduce small --trial {best.number}" in content
    record = tuned.read_study("small")
    assert record is not None
    assert all(value in content for value in (record.data["hash"], record.split_hash, "Does it work?"))
    counts = report.document["studies"][0]["best_trial"]["confusion"]
    trial = tuned.read_trials("small")[best.number]
    folds = [fold for key in trial.folds if (fold := tuned.read_fold(key))]
    assert counts == np.sum([fold.confusion for fold in folds], axis=0).tolist()
    shown = report.document["studies"][0]["gallery"]["images"]
    assert content.count("<img") == sum(len(rows) for kind in shown.values() for rows in kind.values()) > 0


def test_the_page_asks_for_nothing_and_runs_its_two_scripts_only(store: Store) -> None:
    report = collect(opened(store, "one", "two"), images=0)
    content = page(report)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://", content)
    found = Page(html.page(report))
    assert {tag for tag, _ in found.elements}.isdisjoint(
        {"link", "iframe", "object", "embed", "base", "form"}
    )
    assert all(attributes["href"].startswith("#") for tag, attributes in found.elements if tag == "a")
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in found.scripts[-2:]
    ]
    policy = next(attributes["content"] for _, attributes in found.elements if "http-equiv" in attributes)
    assert policy.startswith(
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {' '.join(hashes)};"
    )
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for tag, attributes in found.elements if tag == "a"} <= set(ids)
    assert {attributes["for"] for tag, attributes in found.elements if "for" in attributes} <= set(ids)


def test_no_name_breaks_the_page(store: Store) -> None:
    _audit(store, "evil", HOSTILE)
    report = collect(opened(store, "evil"), images=0)
    image = ImageToLookAt(0, HOSTILE, HOSTILE, HOSTILE, confidence=0.9, label_probability=0.1)
    shown = {"wrong": {HOSTILE: (image,)}, "suspicious": {}}
    gallery = Gallery((0,), {"wrong": 1, "suspicious": 0}, shown)
    pixels = {"evil": {0: np.zeros((1, 8, 8), np.uint8)}}
    found = Page(page(replace(report, studies=(replace(report.studies[0], gallery=gallery),), pixels=pixels)))
    scripts = [attributes.get("type") for tag, attributes in found.elements if tag == "script"]
    assert scripts == ["application/json", None, None]
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    images = [attributes for tag, attributes in found.elements if tag == "img"]
    assert len(images) == 1 and str(images[0]["src"]).startswith("data:image/png;base64,")
    assert HOSTILE in str(images[0]["alt"])
    data = json.loads(found.scripts[0])
    assert any(HOSTILE in row["words"][1] for row in data["trials"])
    assert HOSTILE in data["charts"]["confusion"]["params"][1]["value"]


def test_every_chart_is_in_its_place_and_has_its_numbers(store: Store) -> None:
    content = page(collect(opened(store, "one"), images=0))
    data = json.loads(Page(content).scripts[0])
    placed = re.findall(r'data-chart="([^"]*)"', content)
    chosen = re.findall(r'<option value="(pair[^"]*)"', content)
    assert sorted({*placed, *chosen}) == sorted(data["charts"]) and len(placed) == len(set(placed))
    assert {"history", "parallel", "slice0", "folds", "two", "curve-loss", "confusion", "roc"} <= set(placed)
    for key, spec in data["charts"].items():
        has_own = spec["data"] != {"name": "trials"}
        below = re.search(f'data-chart="{key}"></div>(<details><summary>The numbers)?', content)
        assert spec["width"] == "container" and spec["description"]
        assert (
            key == "classes" or not has_own or (below and below[1])
        )  # the others' are in a table of their own


def test_no_line_ends_before_a_percent_sign(store: Store) -> None:
    content = html.page(collect(opened(store, "one"), images=0)).replace(bundle(), "")
    shown = re.sub(r"<(script|style)[^>]*>.*?</\1>|<pre>.*?</pre>|<[^>]*>", "", content, flags=re.DOTALL)
    assert "95\u00a0%" in shown and not re.search(r"\d (%|±)", shown)


@given(st.text())
def test_json_in_a_script_can_hold_any_text(text: str) -> None:
    said = safe_json({text: [text, 1.5, None]})
    assert not set("<>&\u2028\u2029") & set(said)
    assert json.loads(said) == {text: [text, 1.5, None]}


def test_warnings_come_first(store: Store) -> None:
    _audit(store, "one", "The label is given away.")
    record = store.read_study("one")
    assert record is not None
    store.write_study(replace(record, num_trials=9))
    report = collect(opened(store, "one"), images=0)
    levels = [warning["level"] for warning in report.document["studies"][0]["warnings"]]
    assert levels[0] == "failed" and len(levels) >= 2
    content = page(report).partition("<main>")[2]
    first = content.index("The label is given away.")
    assert first < content.index("4 of 9 trials ended") < content.index("Question and answer")
    said = markdown(report)
    assert said.index("The label is given away.") < said.index("The best of")


def test_the_answer_has_the_sealed_test(store: Store) -> None:
    store.write_finding("one", confirmation())
    store.write_finding("one", final_test(study="one"))
    report = collect(opened(store, "one"), images=0)
    (study,) = report.document["studies"]
    sealed, by_folds = study["answer"][:2]
    again = next(said for said in study["answer"] if "trained again" in said)
    assert sealed.startswith("On the sealed test images trial 3 has ")  # another look has been taken before
    assert " right, 0.8512 (95 % 0.8000 to 0.9000). These test images have been looked at 2 times" in sealed
    assert sealed.endswith("may be too good: report the first look.")
    assert by_folds.startswith(
        "By the folds alone: the best of 4 trials is trial 0, the defaults: tuning has found "
    )
    assert again.endswith("trial 3 is the best now, where trial 1 was: 0.8710 ± 0.0392.")
    once = final_test(study="one", looks=1)
    said = answer._of_test(once, "accuracy")
    assert said.startswith(
        "On the sealed test images, which nothing was trained on or chosen by, trial 3 has "
    )
    assert said.endswith(" This is the number to report.")
    first = EarlierLook("2026-12-01T10:00:00Z", "one", 1, "", 0.8, 0.75, 0.85)
    assert answer._of_test(final_test(study="one", earlier=(first,)), "accuracy").endswith(
        "the first look, at trial 1 of study one, came to 0.8000 (95 % 0.7500 to 0.8500), and is the number to report."
    )
    said = [warning["text"] for warning in study["warnings"]]
    assert "These test images have been looked at 2 times (reason: a typo)." in said
    assert any("did not hold" in warning for warning in said)
    assert "test, trial 3" in page(report)


def test_markdown_is_short_and_a_cell_stays_a_cell(store: Store) -> None:
    said = markdown(collect(opened(store, "evil"), images=0))
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert len(rows) == 7 and len(said) < 4000
    assert "<script" not in said.replace("\\<", "") and "@you" not in said
    assert "harness reproduce evil" in said
    assert not re.search(r"`with uncommitted|` ,", said)


def test_text_is_quoted_for_markdown() -> None:
    assert plain("a|b\n<i>*x*") == "a\\|b \\<i\\>\\*x\\*"
    assert code("tune ``x``") == "``` tune ``x`` ```" and code("tune x") == "`tune x`"


def test_several_studies_are_compared_as_elsewhere(store: Store) -> None:
    report = collect(opened(store, "one", "two", "evil"), images=0)
    found = report.document["comparison"]
    assert [row["study"] for row in found["compared"]] == ["one", "two", "evil"]
    rows = leaderboard.compare(opened(store, "one", "two", "evil")).compared
    assert [row["gain"] for row in found["compared"]] == [row.gain for row in rows]
    assert found["compared"][1]["gain"] is not None and found["compared"][2]["no_gain"] == "data, splits"
    (paired,) = found["paired"]
    contenders = named(lambda name: LoadedStudy.open(store, name), ["one", "two"])
    expected = to_json(compare(contenders))
    assert paired["trials"] == expected["trials"]
    content = page(report)
    assert f"{rows[1].gain:+.4f} ± {rows[1].gain_half_width:.4f}" in content
    assert "two and evil are of different data and splits" in content
    assert content.count('<section class="study">') == 1 + 3
    assert content.index("Comparison</h2>") < content.index("<h2>one</h2>") < content.index("<h2>two</h2>")
    assert markdown(report).startswith("| study |")


def test_what_is_gone_is_said_to_be_gone(store: Store) -> None:
    best = opened(store, "one")[0].best
    assert best is not None
    for key in best.folds:
        shutil.rmtree(store.fold_folder(key))
    report = collect(opened(store, "one"))
    assert {"best_trial", "gallery"} <= set(report.document["studies"][0]["absent"])
    content = page(report)
    assert "records of its folds are gone or damaged" in content and f"{best.mean:.4f}" in content


def test_a_study_without_an_answer_has_a_page(store: Store) -> None:
    for path in (store.study_folder("one") / "trials").iterdir():
        path.unlink()
    report = collect(opened(store, "one", "two"))
    assert "There is no answer yet: 0 of 4 trials have ended" in page(report)
    assert "no answer yet" in markdown(report)


def test_a_loss_that_is_not_finite_is_left_out(store: Store) -> None:
    trial = opened(store, "two")[0].best
    assert trial is not None
    fold = store.read_fold(trial.folds[0])
    assert fold is not None
    epochs = (replace(fold.epochs[0], train_loss=math.nan), *fold.epochs[1:])
    broken = replace(fold, epochs=epochs, key=f"{fold.key}x")
    store.write_fold(broken, read_predictions(fold), {"w": np.zeros(1, np.float32)})
    store.write_trial("two", replace(trial, folds=(broken.key, *trial.folds[1:])))
    report = collect(opened(store, "two"), images=0)
    json.dumps(report.document, allow_nan=False)
    assert report.document["studies"][0]["best_trial"]["curves"]["train_loss"]["mean"][0] is None
    assert not re.search(r"\bnan\b", page(report), re.IGNORECASE)


def test_the_command_writes_where_it_is_told(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    target, home = tmp_path / "a b.html", ["--home", str(store.home)]
    assert run(["report", "one", "--images", "0", "-o", str(target), *home]) == 0
    said = capsys.readouterr()
    kept = store.study_folder("one") / "report.html"
    assert said.out.strip() == str(target) and not kept.exists()  # who names a place only reads the store
    assert run(["report", "one", "--images", "0", *home]) == 0
    assert capsys.readouterr().out.strip() == str(kept) and target.read_bytes() == kept.read_bytes()
    assert kept in findings_of(*opened(store, "one")).files
    assert run(["report", "one", "two", "--format", "md", *home]) == 0
    assert "### two" in capsys.readouterr().out
    assert run(["report", "one", "--json", "--images", "0", *home]) == 0
    assert json.loads(capsys.readouterr().out)["studies"][0]["study"] == "one"
    assert run(["report", "one", "-o", str(tmp_path / "no" / "x.html"), *home]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_mlflow_shows_the_page(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "one", "--images", "0", "--home", str(store.home)]) == 0
    assert "harness sync" not in capsys.readouterr().err
    kept = store.study_folder("one") / "report.html"
    shown = list((store.home / "artifacts").rglob("report.html"))
    assert [path.read_bytes() for path in shown] == [kept.read_bytes()]


@pytest.mark.slow
def test_a_large_study_makes_a_small_page_soon(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made_up(store, "large", Shape(num_trials=100, num_folds=5, num_epochs=20, stopped=0.4))
    began = time.process_time()
    content = page(collect(opened(store, "large")))
    assert time.process_time() - began < 10
    assert len(content.encode()) + len(bundle()) < 2e6
