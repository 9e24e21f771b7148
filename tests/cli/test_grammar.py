"""One grammar for all commands: what is tested here is read from the parser, so that a new command is in it, too."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from harness.cli import app, run
from harness.cli.grammar import Command, wants_json
from harness.cli.options import print_csv
from harness.cli.predictions import _writer
from harness.store.store import Store

COMMANDS: dict[str, Command] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
WITHOUT_STUDY = {"init", "list", "explain", "doctor", "smoke", "completion"}
WITHOUT_DOCUMENT = {"completion"}  # which prints a program
WITH_STUDY = sorted(COMMANDS.keys() - WITHOUT_STUDY - {"serve"})  # which takes a port before it looks
MORE = {"diff": ["other"], "rename": ["new"], "predict": ["."], "evaluate": ["."]}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_its_study_in_both_ways_or_none(name: str) -> None:
    command = COMMANDS[name]
    assert command.takes_study == (name not in WITHOUT_STUDY)
    spellings = [["--study", "x"], ["--study=x"], ["-s", "x"]]
    for words in spellings if command.takes_study else []:
        assert command.in_one_grammar([*words, "more", "--home", "h"]) == ["x", "more", "--home", "h"]
        assert command.in_one_grammar(["--home", "--study", *words]) == ["x", "--home", "--study"]
        assert command.in_one_grammar(["--", *words]) == ["--", *words]


@pytest.mark.parametrize("name", WITH_STUDY)
def test_a_study_that_is_not_there_is_told_alike_in_both_ways(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for study in (["nothing"], ["--study", "nothing"], ["-s", "nothing"]):
        code = run([name, *study, *MORE.get(name, [])])
        captured = capsys.readouterr()
        assert captured.out == ""
        said.append((code, captured.err))
    assert said[0] == said[1] == said[2] and said[0][0] == 2 and "nothing" in said[0][1]


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_DOCUMENT))
def test_every_command_that_finds_something_has_a_document(name: str) -> None:
    options = {word for one in COMMANDS[name].params for word in one.opts}
    assert "--json" in options
    assert "json" in COMMANDS[name].forms or name == "export"  # whose --format is the file's
    if name != "export":
        assert COMMANDS[name].in_one_grammar(["--json"]) == ["--format", "json"]


@pytest.mark.parametrize("name", sorted({*WITH_STUDY} - WITHOUT_DOCUMENT))
def test_a_mistake_is_a_document_where_one_was_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["nothing", *MORE.get(name, [])], ["--no-such-option"]):
        code = run([name, *words, "--json"])
        captured = capsys.readouterr()
        document = json.loads(captured.err.splitlines()[-1])
        assert document.keys() == {"schema", "error", "exit_code"}
        assert document["schema"] == 1 and document["exit_code"] == code == 2
        assert captured.out == "" or json.loads(captured.out)["problems"]  # of a study file, by check


@pytest.mark.parametrize("name", COMMANDS)
def test_whoever_writes_a_file_takes_its_place_as_output(name: str) -> None:
    options = {word for one in COMMANDS[name].params for word in one.opts}
    assert ("--output" in options) == ("-o" in options)
    assert "--output" in options or name not in (
        "report",
        "gallery",
        "similar",
        "export",
        "bundle",
        "predict",
    )
    assert "--html" not in options


def test_old_spellings_are_read_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    similar = COMMANDS["similar"]
    assert similar.in_one_grammar(["x", "--html", "a.html", "--format", "table"]) == [
        "x", "--output", "a.html", "--format", "text",
    ]  # fmt: skip
    assert similar.in_one_grammar(["x", "--html=a.html"]) == ["x", "--output=a.html"]
    assert run(["similar", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--html" not in said and "table|" not in said


DOCUMENTS = [
    ["status"], ["status", "small"], ["status", "small", "small"], ["show", "small"], ["data", "small"],
    ["compare", "small:0", "small:1"], ["diff", "small", "small"], ["list", "models"], ["doctor"], ["gc"],
    ["explain", "lr"],
]  # fmt: skip
SLOW_DOCUMENTS = [pytest.param(["sync"], marks=pytest.mark.slow)]  # which make MLflow's database


@pytest.mark.parametrize("command", [*DOCUMENTS, *SLOW_DOCUMENTS], ids=" ".join)
def test_a_document_has_its_schema_and_csv_has_its_rows(
    command: list[str], tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tuned.home)] if command[0] not in ("list", "explain") else []
    assert run([*command, *home, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert next(iter(document)) == "schema" and document["schema"] == 1
    assert run([*command, *home, "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again.keys() == document.keys()
    assert run([*command, *home, "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    lists = [value for value in document.values() if isinstance(value, list)]
    assert len(rows) in map(len, lists)


@pytest.mark.parametrize(
    "command",
    [
        ["report", "small"], ["bundle", "small"], ["delete", "small", "--yes"],
        pytest.param(["rename", "small", "tiny"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_done_is_told_in_a_document(
    command: list[str], tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--home", str(tuned.home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_what_is_nested_has_dotted_names_in_csv(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv([{"a": 1, "b": {"c": None, "d": {"e": "x,y"}}}, {"a": 2, "f": [1, {"g": 2}]}])
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == [
        {"a": "1", "b.c": "", "b.d.e": "x,y", "f": ""},
        {"a": "2", "b.c": "", "b.d.e": "", "f": '[1, {"g": 2}]'},
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_predictions_are_one_document_also_where_something_ends_them(count: int) -> None:
    file = io.StringIO()
    with pytest.raises(KeyboardInterrupt), _writer(file, ["path"], "json") as write:
        for number in range(count):
            write({"path": f"{number}.png"})
        raise KeyboardInterrupt
    expected = [{"path": f"{number}.png"} for number in range(count)]
    assert json.loads(file.getvalue()) == {"schema": 1, "predictions": expected}


@pytest.mark.parametrize(
    "command",
    [
        ["init", "no/such"],
        ["tune", "smoke", "--set", "data={name: folder, root: no/such}"],
        pytest.param(
            ["check", "smoke", "--set", "data={name: folder, root: no/such}"], marks=pytest.mark.slow
        ),
    ],
    ids=lambda words: words[0],
)
def test_a_missing_data_folder_is_a_wrong_command_line(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    assert "no/such: there is no such folder" in capsys.readouterr().err


def test_a_document_is_asked_for_by_an_option_alone() -> None:
    assert wants_json(["status", "--json"]) and wants_json(["status", "--format", "json"])
    assert wants_json(["status", "--format=json"])
    assert not wants_json(["status", "--", "--json"]) and not wants_json(["list", "json"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_HARNESS_COMPLETE" in script and "harness" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.slow
def test_no_command_loads_torch_to_say_that_its_line_is_wrong() -> None:
    code = "import sys; from harness.cli import run; run(['tune']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_list_of_commands_says_each_in_a_whole_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run(["--help"])
    said = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert len(said) == len(COMMANDS) and [line for line in said if line.endswith("...")] == []
