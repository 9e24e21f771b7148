"""predict and export from the command line: what they print, what they write, and how a mistake is told."""

import csv
import errno
import io
import json
import math
import os
import signal
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from harness.cli import run
from harness.cli.predictions import _HeldBack
from harness.inference.find_model import find_model
from harness.inference.predict import Predicted
from harness.inference.rows import Columns
from harness.store.store import Store


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_say_what_the_model_says(
    kept: Store, photos: Path, digits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "small", str(photos), "--top", "3", "--home", str(kept.home)]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == "12 predicted, 0 unreadable"
    rows = rows_of(out)
    assert list(rows[0]) == [
        "path", "label", "probability", "top2_label", "top2_probability", "top3_label", "top3_probability",
        "entropy",
    ]  # fmt: skip
    for row, chances in zip(rows, find_model(kept, "small", "").model.predict(digits), strict=True):
        order = np.argsort(-chances)
        assert [row["label"], row["top2_label"], row["top3_label"]] == [str(place) for place in order[:3]]
        assert float(row["top2_probability"]) == pytest.approx(chances[order[1]], abs=2e-6)
        assert float(row["entropy"]) == pytest.approx(-sum(p * math.log(p) for p in chances), abs=1e-5)


def test_lines_of_json_have_the_same_values(
    kept: Store, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, file = ["--home", str(kept.home)], tmp_path / "rows.jsonl"
    assert run(["predict", "small:1", str(photos), "--format", "jsonl", "-o", str(file), *home]) == 0
    assert capsys.readouterr().out == ""
    assert run(["predict", "small:1", str(photos), *home]) == 0
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [{key: str(value) for key, value in row.items()} for row in rows] == rows_of(
        capsys.readouterr().out
    )


def test_raw_probabilities_are_others(
    kept: Store, photos: Path, digits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "small", str(photos), "--raw", "--home", str(kept.home)]) == 0
    model = find_model(kept, "small", "").model
    said = [float(row["probability"]) for row in rows_of(capsys.readouterr().out)]
    assert said == pytest.approx(model.predict(digits, raw=True).max(1).tolist(), abs=2e-6)
    assert said != pytest.approx(model.predict(digits).max(1).tolist(), abs=1e-3)


def test_unreadable_files_are_told_and_the_rest_is_done(
    kept: Store, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "03.png").write_bytes(b"no image")
    arguments = ["predict", "small", str(photos), "missing.png", "--home", str(kept.home)]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert len(rows_of(out)) == 11 and "error" not in rows_of(out)[0]
    assert "03.png: not an image of a known format" in err and "missing.png: No such file" in err
    assert err.splitlines()[-1] == "11 predicted, 2 unreadable"
    assert run([*arguments, "--errors"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert len(rows) == 13
    assert [row["error"] for row in rows if row["error"]] == [
        "not an image of a known format",
        "No such file or directory",
    ]
    assert all(bool(row["label"]) != bool(row["error"]) for row in rows)


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("empty", 1, "no file is named like an image"),
        ("text.png", 1, "none of the files is a whole image"),
        ("no.png", 2, "no.png: there is no such file or folder"),
    ],
)
def test_nothing_to_read_is_a_failure(
    kept: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, expected: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no image")
    assert run(["predict", "small", str(tmp_path / name), "--home", str(kept.home)]) == code
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_below_the_threshold_an_image_is_unsure(
    kept: Store, photos: Path, digits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    chances = find_model(kept, "small", "").model.predict(digits)
    limit = float(np.median(chances.max(1)))
    home = ["--home", str(kept.home)]
    assert run(["predict", "small", str(photos), "--threshold", str(limit), *home]) == 0
    rows = rows_of(capsys.readouterr().out)
    expected = [str(row.argmax()) if row.max() >= limit else "unsure" for row in chances.astype(np.float64)]
    assert [row["label"] for row in rows] == expected and {"unsure"} < set(expected)
    assert [row["likeliest"] for row in rows] == [str(place) for place in chances.argmax(1)]


def test_files_are_moved_only_with_yes(
    kept: Store, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, table = photos / "sorted", tmp_path / "rows.csv"
    arguments = ["predict", "small", str(photos), "--move", str(place), "-o", str(table)]
    arguments += ["--threshold", "0.6", "--home", str(kept.home)]
    before = sorted(photos.rglob("*.png"))
    assert run(arguments) == 0
    planned, err = capsys.readouterr()
    assert "nothing was changed; --yes does this move" in err and not place.exists()
    assert sorted(photos.rglob("*.png")) == before and len(rows_of(table.read_text())) == 12
    content = {
        line.split(" -> ")[1]: Path(line.split(" -> ")[0]).read_bytes() for line in planned.splitlines()
    }
    assert run([*arguments, "--yes"]) == 0
    assert capsys.readouterr().out == planned
    assert {str(path): path.read_bytes() for path in place.rglob("*.png")} == content
    assert sorted(photos.rglob("*.png")) == sorted(place.rglob("*.png"))
    for row in rows_of(table.read_text()):
        assert (place / row["label"] / Path(row["path"]).name).exists()
    assert run(arguments) == 1  # all there is lies in the folder itself
    assert "0 predicted" in capsys.readouterr().err


def on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("between", "options"), [("\n", []), ("\r\n", []), ("\n\n", []), ("\0", ["--null"]), ("\0", ["-0"])]
)
def test_a_list_on_stdin_is_as_good_as_paths(
    kept: Store,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    between: str,
    options: list[str],
) -> None:
    odd = photos / "ein Bild\udcff.png"
    (photos / "04.png").rename(odd)
    paths = [str(photos / "02.png"), str(odd), str(photos / "more"), "missing.png"]
    home = ["--home", str(kept.home)]
    assert run(["predict", "small", *paths, *home]) == 0
    expected = capsys.readouterr()
    for last in ("", between):
        on_stdin(monkeypatch, (between.join(paths) + last).encode(errors="surrogateescape"))
        assert run(["predict", "small", "-", *options, *home]) == 0
        assert capsys.readouterr() == expected
    assert "6 predicted, 1 unreadable" in expected.err and "missing.png: No such file" in expected.err
    on_stdin(monkeypatch, str(photos / "00.png").encode())
    assert run(["predict", "small", paths[0], "-", str(photos / "03.png"), *home]) == 0
    names = [Path(row["path"]).name for row in rows_of(capsys.readouterr().out)]
    assert names == ["02.png", "00.png", "03.png"]


def test_listed_files_are_moved_but_those_that_lie_there(
    kept: Store, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = photos / "sorted"
    place.mkdir()
    (photos / "05.png").rename(place / "05.png")
    listed = [photos / "01.png", place / "05.png", photos / "02.png"]
    on_stdin(monkeypatch, "\n".join(map(str, listed)).encode())
    assert run(["predict", "small", "-", "--move", str(place), "--yes", "--home", str(kept.home)]) == 0
    out, err = capsys.readouterr()
    assert f"{place}/05.png: is in {place} already" in err and len(out.splitlines()) == 2
    assert sorted(path.name for path in place.glob("*/*")) == ["01.png", "02.png"]
    assert (place / "05.png").exists() and not (photos / "01.png").exists()


@pytest.mark.parametrize(
    ("content", "options", "code", "expected"),
    [
        (b"", [], 1, "no path has come on stdin"),
        (b"\n\n", [], 1, "no path has come on stdin"),
        (b"no.png\n", [], 1, "0 predicted, 1 unreadable; none of the files is a whole image"),
        (b"a.png\0b.png", [], 1, "holds a NUL; --null reads the lists of find -print0"),
        (b"a.png", ["-"], 2, "can be given once; ./- is a file of that name"),
    ],
)
def test_lists_that_name_nothing_are_told(
    kept: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    options: list[str],
    code: int,
    expected: str,
) -> None:
    on_stdin(monkeypatch, content)
    assert run(["predict", "small", "-", *options, "--home", str(kept.home)]) == code
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_files_that_could_not_be_copied_are_told_and_come_with_the_same_command(
    number: int,
    kept: Store,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["predict", "small", str(photos), "--copy", str(tmp_path / "to"), "--yes"]
    arguments += ["--home", str(kept.home)]
    copied = []

    def full(source: BinaryIO, file: BinaryIO, length: int) -> None:
        file.write(source.read())
        copied.append(file)
        if len(copied) > 9:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        of_the_file = number == errno.EACCES
        assert run(arguments) == (1 if of_the_file else 4)
    err = capsys.readouterr().err.splitlines()
    if of_the_file:
        assert err[-1].startswith(
            "harness: 12 predicted, 0 unreadable, 3 could not be copied; put that right"
        )
        assert sum(line.endswith("cannot copy it: Permission denied") for line in err) == 3
    else:  # the next ones would meet the same: it is told once
        assert err[-1].startswith(f"harness: {tmp_path / 'to'}: No space left on device; make room and run")
        assert len(err) == 2
    assert len([path for path in (tmp_path / "to").rglob("*") if path.is_file()]) == 9
    assert run(arguments) == 0
    assert len([path for path in (tmp_path / "to").rglob("*") if path.is_file()]) == 12


def test_a_copy_that_is_done_again_changes_nothing(
    kept: Store, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "sorted"
    arguments = ["predict", "small", str(photos), "--copy", str(place), "--home", str(kept.home)]
    assert run([*arguments, "--yes"]) == 0
    done = capsys.readouterr()
    files = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    for again in (["--yes"], []):
        assert run([*arguments, *again]) == 0
        assert capsys.readouterr().out == done.out
        assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == files
    assert len(list(place.glob("*/*.png"))) == 12


@pytest.mark.parametrize(
    ("more", "number", "expected"),
    [
        ([], signal.SIGINT, "go on with the files after {last}; the same command begins anew"),
        (["-o", "r.csv"], signal.SIGTERM,
         "go on with the files after {last}; the same command begins anew and replaces r.csv"),
        (["--move", "to"], signal.SIGINT,
         "go on with the files after {last}; the same command begins anew"),
        (["--copy", "to", "--yes"], signal.SIGINT,
         "go on with the files after {last}; the same command begins anew and leaves the copies that are there"),
        (["--move", "to", "--yes"], signal.SIGINT, "the same command goes on with the rest"),
        (["--move", "to", "--yes", "-o", "r.csv"], signal.SIGTERM,
         "the same command goes on with the rest but replaces r.csv: name another -o"),
    ],
)  # fmt: skip
def test_an_interruption_waits_for_the_file_and_says_how_to_go_on(
    kept: Store,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    number: signal.Signals,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, last = ["predict", "small", str(photos), *more, "--home", str(kept.home)], photos / "04.png"
    whole = Columns.row

    def row(columns: Columns, found: Predicted) -> dict[str, object]:
        if found.path == str(last):
            signal.raise_signal(number)  # before its row is written and it is moved
        return whole(columns, found)

    with monkeypatch.context() as patch:
        patch.setattr(Columns, "row", row)
        assert run(arguments) == 128 + number
    out, err = capsys.readouterr()
    said = f"harness: interrupted: 5 predicted, 0 unreadable; {expected.format(last=last)}"
    assert [line for line in err.splitlines() if "interrupted" in line] == [said]
    rows = rows_of((tmp_path / "r.csv").read_text() if "-o" in more else out)
    if "-o" in more or not {"--move", "--copy"} & set(more):
        assert [row["path"] for row in rows] == [str(photos / f"{place:02}.png") for place in range(5)]
        assert all(row["entropy"] for row in rows)
    assert len(list(tmp_path.glob("to/*/*.png"))) == (5 if "--yes" in more else 0)
    assert len(list(photos.rglob("*.png"))) == (7 if {"--move", "--yes"} <= set(more) else 12)
    if {"--move", "--yes"} <= set(more):
        assert run(arguments) == 0
        assert len(list(tmp_path.glob("to/*/*.png"))) == 12


def test_a_second_interruption_does_not_wait() -> None:
    steps = []

    def slow() -> None:
        for step in range(3):
            signal.raise_signal(signal.SIGINT)
            steps.append(step)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), _HeldBack() as held_back:
        held_back.until(slow)
    assert steps == [0] and signal.getsignal(signal.SIGINT) is before


def test_an_interruption_before_the_first_file_says_so(
    kept: Store, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, raw: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.inference.predict._predicted", interrupted)
    assert run(["predict", "small", str(photos), "--home", str(kept.home)]) == 130
    said = "harness: interrupted: 0 predicted, 0 unreadable; the same command begins with the first file"
    assert capsys.readouterr().err.splitlines()[-1] == said


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["predict", "small"], 2, "Missing argument 'PATH'"),
        (["predict", "smal", "x.png"], 2, "did you mean 'small'"),
        (["predict", "small", "x.png", "--top", "0"], 2, "--top"),
        (["predict", "small", "x.png", "--threshold", "7"], 2, "--threshold"),
        (["predict", "small", "x.png", "--move", "a", "--copy", "b"], 2, "exclude each other"),
        (["predict", "small", "a/x.png", "--move", "a"], 2, "a/x.png is in it already"),
        (
            ["predict", "small", "x.png", "--null"],
            2,
            "--null is about paths on stdin: give - among the paths",
        ),
        (["predict", "small", "x.png", "-o", "no/such/rows.csv"], 2, "there is no folder"),
        (["export", "smal"], 2, "did you mean 'small'"),
        (["export", "small", "--format", "h5"], 2, "'h5' is not one of"),
        (["export", "small", "-o", "no/such/x.onnx"], 2, "there is no folder"),
    ],
)
def test_mistakes_are_told_in_a_line(
    kept: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*arguments, "--home", str(kept.home)]) == code
    out, err = capsys.readouterr()
    assert expected in err and len(err.strip().splitlines()) == 1 and not out


def test_an_exported_folder_predicts_the_same(
    kept: Store,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    home = ["--home", str(kept.home)]
    assert run(["export", "small", "--format", "safetensors", "--json", *home]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == "small-model"
    assert run(["predict", "small", str(photos), *home]) == 0
    expected = capsys.readouterr().out
    assert run(["predict", "small-model", str(photos), "--home", str(tmp_path / "elsewhere")]) == 0
    assert capsys.readouterr().out == expected
    assert run(["export", "small", "--format", "safetensors", *home]) == 2
    assert "small-model: is there already" in capsys.readouterr().err


@pytest.mark.slow
def test_an_onnx_file_of_the_command_says_what_rows_say(
    kept: Store, photos: Path, digits: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    file = tmp_path / "mein Modell.onnx"
    assert run(["export", "small", "--format", "onnx", "-o", str(file), "--home", str(kept.home)]) == 0
    assert "64 images agree to " in capsys.readouterr().out
    assert run(["predict", "small", str(photos), "--home", str(kept.home)]) == 0
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    found = session.run(None, {"images": digits})[0]
    rows = rows_of(capsys.readouterr().out)
    assert [row["label"] for row in rows] == [classes[place] for place in found.argmax(1)]
    said = [float(row["probability"]) for row in rows]
    assert said == pytest.approx(found.max(1).tolist(), abs=1e-4)
