"""similar and serve from the command line: what they print and write, and how a mistake is told."""

import json
import re
from pathlib import Path

import pytest

from harness.cli import run
from harness.inference.export import save_model
from tests.inference.made_up_models import TINY_CLIP, made, noise, save

HOSTILE = '<img src=x onerror="alert(1)">.png'


@pytest.fixture
def model(tmp_path: Path) -> str:
    save_model(tmp_path / "model", made("resnet"), study="small", trial=0)
    return str(tmp_path / "model")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, pixels in enumerate(noise(4)):
        save(pixels, tmp_path / "photos" / f"{number}.png")
    save(noise(4)[2], tmp_path / "photos" / HOSTILE)
    return tmp_path / "photos"


@pytest.fixture
def home(tmp_path: Path) -> list[str]:
    return ["--home", str(tmp_path / "home")]


def test_an_index_is_made_and_then_searched(
    model: str, photos: Path, home: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["similar", model, "--index", str(photos), *home]) == 0
    assert capsys.readouterr().out == f"{photos}: 5 images indexed\n"
    query = save(noise(4)[1], tmp_path / "query.png")
    assert run(["similar", model, str(query), str(photos / "2.png"), "--top", "2", *home]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["query", "score", "image"] and len(lines) == 5
    assert lines[1].split() == [str(query), "1.0000", "1.png"]
    assert lines[3].split(maxsplit=2) == [str(photos / "2.png"), "1.0000", HOSTILE]


def test_a_folder_of_queries_is_each_of_its_images(
    model: str, photos: Path, home: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        save(noise(4)[number], tmp_path / "queries" / f"{number}.png")
    assert run(["similar", model, "--index", str(photos), *home]) == 0
    capsys.readouterr()
    assert run(["similar", model, str(tmp_path / "queries"), "--top", "1", *home]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        str(tmp_path / "queries" / f"{number}.png") for number in range(2)
    ]


def test_an_index_goes_when_its_model_does(
    model: str, photos: Path, home: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["similar", model, "--index", str(photos), *home]) == 0
    capsys.readouterr()
    assert run(["gc", *home]) == 0
    assert capsys.readouterr().out == "0 kB nothing to delete\n"
    (Path(model) / "model.json").unlink()
    assert run(["gc", *home]) == 0
    assert re.search(r"index by a model that is gone: 1, [\d.]*[1-9] kB", capsys.readouterr().out)
    assert run(["gc", "--yes", *home]) == 0
    assert not list(Path(home[1]).glob("similar/*"))


def test_json_has_queries_and_duplicates(
    model: str, photos: Path, home: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--index", str(photos), "--duplicates", "0.9999", "--format", "json"]
    assert run(["similar", model, str(photos / "0.png"), *arguments, *home]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["num_images"], len(document["queries"])) == (1, 5, 1)
    assert len(document["queries"][0]["similar"]) == 4
    (pair,) = document["duplicates"]["pairs"]
    assert {pair["first"]["name"], pair["second"]["name"]} == {"2.png", HOSTILE} and pair["score"] == 1


def test_the_page_needs_nothing_but_itself_and_escapes_names(
    model: str, photos: Path, home: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "page.html"
    arguments = ["--index", str(photos), "--duplicates", "0.9999", "--html", str(target)]
    assert run(["similar", model, str(photos / "2.png"), *arguments, *home]) == 0
    text = target.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 1 + 4 + 2
    assert "onerror=&#34;" in text and "<img src=x" not in text
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing is asked: give QUERY files, --text, --duplicates or --index FOLDER"),
        (["{photos}/0.png"], 2, "there is no index of this model; say of which folder: --index FOLDER"),
        (["--index", "{photos}/no"], 2, "there is no such folder"),
        (["{photos}/no.png", "--index", "{photos}"], 2, "no.png: there is no such file or folder"),
        (["--text", "a cat", "--index", "{photos}"], 2, "resnet knows no texts"),
        (["--index", "{photos}", "--html", "{photos}/no/page.html"], 2, "there is no folder"),
        (["--index", "{photos}", "--duplicates", "2"], 2, "duplicates"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    model: str,
    photos: Path,
    home: list[str],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    filled = [part.replace("{photos}", str(photos)) for part in arguments]
    assert run(["similar", model, *filled, *home]) == code
    out, err = capsys.readouterr()
    assert not out and message in err.splitlines()[-1]


def test_serve_refuses_a_port_in_use(
    model: str, photos: Path, home: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", model, "--index", str(photos), "--port", str(port), *home]) == 4
    assert f"port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


@pytest.mark.slow
def test_a_clip_is_searched_by_text(
    tmp_path: Path, photos: Path, home: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "clip", made("clip_fusion", architecture=TINY_CLIP), study="clip", trial=0)
    arguments = ["--index", str(photos), "--text", "a red car", "--text", "a dog", "--format", "json"]
    assert run(["similar", str(tmp_path / "clip"), *arguments, *home]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [answer["query"] for answer in document["queries"]] == ["a red car", "a dog"]
    assert all(len(answer["similar"]) == 5 for answer in document["queries"])
