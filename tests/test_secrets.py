"""No secret leaves: canaries wherever secrets are kept, and every byte looked through for them afterwards."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.cli import run
from harness.config.study_file import load_study_file
from harness.errors import StoreError, StudyError
from harness.secrets_in_text import LEFT_OUT
from harness.store.study_lock import driving_alone
from harness.tracking.mlflow_store import connect, telling_store_errors
from tests.campaigns.server import free_port
from tests.conftest import STUDY

NAMES = (
    "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN", "RAY_AUTH_TOKEN",
    "PGPASSWORD", "MY_SECRET",
)  # fmt: skip
PLACES = (*NAMES, "uri", "query", "remote", "changed", "untracked", "fragment")
CANARIES = {name: f"kanarie/{place:02}+{name[:3].lower()}@zX" for place, name in enumerate(PLACES)}
SMALL = ["--set", "cv.folds=2", "--trials", "2", "--set", "search.batch=1", "--workers", "1"]
COMMANDS = """
import json, os, sys
from harness.cli import main
from harness.folds import worker

def train_fold(*_arguments, **_options):
    raise RuntimeError(f"no answer from https://me:{os.environ['HF_TOKEN']}@host/x, {dict(os.environ)}")

if sys.argv[1] == "broken":
    worker.train_fold = train_fold
for sys.argv[1:] in json.loads(sys.argv[2]):
    try:
        main()
    except SystemExit as end:
        print(sys.argv[1], "->", end.code, file=sys.stderr)
"""


def forms(canary: str) -> Iterator[bytes]:
    """A canary as it is, percent-encoded, and in the middle of anything in base64."""
    for text in (canary, quote(canary), quote(canary, safe=""), json.dumps(canary)[1:-1]):
        yield text.encode()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"." * offset + canary.encode())[4:-4]


FORMS = {form: name for name, canary in CANARIES.items() for form in forms(canary)}


def leaks(what: bytes, where: object) -> list[str]:
    return [f"{name} in {where}" for form, name in FORMS.items() if form in what]


def leaks_below(folder: Path) -> list[str]:
    """Every file, what archives hold unpacked, and every text of every database."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found += leaks(str(path).encode() + path.read_bytes(), path)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found += [
                    leak for name in archive.namelist() for leak in leaks(archive.read(name), (path, name))
                ]
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                found += leaks("\n".join(database.iterdump()).encode(), path)
    return found


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a token in its remote's address, and secrets in files that are changed and unknown."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    git(
        folder,
        "remote",
        "add",
        "origin",
        f"https://me:{quote(CANARIES['remote'], safe='')}@example.org/x.git",
    )
    (folder / "settings.py").write_text("url = ''\n")
    (folder / "small.yaml").write_text(STUDY)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "settings.py").write_text(
        f'url = ""\napi_key = "{CANARIES["changed"]}"\n# {CANARIES["HF_TOKEN"]}\n'
    )
    (folder / ".env").write_text(f"TOKEN={CANARIES['untracked']}\n")
    return folder


def harness(repository: Path, *commands: list[str], mode: str = "whole", **environment: str) -> str:
    """Run command lines in one process, which tells their exit codes; what was printed, without a canary in it."""
    secrets = {name: CANARIES[name] for name in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, mode, json.dumps(commands)],
        cwd=repository, env={**os.environ, **secrets, **environment}, capture_output=True, check=False, timeout=240,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert leaks(printed, "what is printed") == []
    return printed.decode()


def test_each_way_to_leak_is_noticed(tmp_path: Path) -> None:
    for form in forms(CANARIES["MY_SECRET"]):
        assert leaks(b"x" + form + b"y", "here")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", CANARIES["uri"] * 100)
    database = sqlite3.connect(tmp_path / "b.db")
    database.execute("create table t as select ? as c", [CANARIES["query"]])
    database.commit()
    database.close()
    assert {leak.split()[0] for leak in leaks_below(tmp_path)} == {"uri", "query"}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_study_and_what_is_made_of_it_hold_no_secret(repository: Path) -> None:
    printed = harness(
        repository,
        ["tune", "--study", "small.yaml", *SMALL, "--set", "provenance=diff"],
        ["status", "small", "--json"],
        ["audit", "small"],
        ["bundle", "small", "-o", "small.zip"],
        ["doctor"],
        ["sync"],
        ["gc", "--json"],
    )
    codes = [line for line in printed.splitlines() if " -> " in line]
    assert len(codes) == 7 and sum(line.endswith("-> 0") for line in codes) >= 6, printed
    kept = json.loads((repository / "mlruns/studies/small/study.json").read_text())["provenance"]["diff"]
    assert LEFT_OUT in kept and "settings.py" in kept
    assert list((repository / "mlruns").rglob("uncommitted.diff"))
    assert leaks_below(repository / "mlruns") == []
    assert leaks((repository / "small.zip").read_bytes(), "bundle") == [] == leaks_below_zip(repository)


def leaks_below_zip(repository: Path) -> list[str]:
    (repository / "unpacked").mkdir()
    (repository / "small.zip").rename(repository / "unpacked" / "small.zip")
    return leaks_below(repository / "unpacked")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_study_that_fails_tells_no_secret(repository: Path) -> None:
    """Training that raises what it knows, while MLflow and PostgreSQL are away and their addresses hold passwords."""
    encoded = quote(CANARIES["uri"], safe="")
    port = free_port()
    away = {
        "MLFLOW_TRACKING_URI": f"http://me:{encoded}@127.0.0.1:{port}/x?password={quote(CANARIES['query'])}",
        "HARNESS_STORAGE": f"postgresql+psycopg2://me:{encoded}@127.0.0.1:{port}/x?password={quote(CANARIES['query'])}",
    }
    printed = harness(
        repository,
        ["tune", "--study", "small.yaml", *SMALL, "--set", "provenance=diff"],
        ["status", "small", "--json"],
        ["status", "small"],
        ["sync"],
        ["doctor", "--json"],
        ["tune", "--study", "small.yaml", "--set", f"data.root=/x?token={CANARIES['MY_SECRET']}"],
        mode="broken",
        **away,
    )
    codes = [line.partition(" -> ")[2] for line in printed.splitlines() if " -> " in line]
    assert codes == ["4", "0", "0", "4", "0", "2"], printed
    assert "no answer from" in printed and "***" in printed
    assert leaks_below(repository / "mlruns") == []


@pytest.mark.slow
def test_a_traceback_holds_no_secret(repository: Path) -> None:
    code = "import os, sys, harness.cli as cli\n"
    code += "def run(_): raise RuntimeError(os.environ['MY_SECRET'])\ncli.run = run\ncli.main()"
    environment = {**os.environ, "MY_SECRET": CANARIES["MY_SECRET"]}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == 1 and b"Traceback" in done.stderr and b"RuntimeError: ***" in done.stderr
    assert leaks(done.stderr, "traceback") == []


PASSWORDS = ["kanarie-1", "kanarie%2F1", "kanarie/1", "kanarie@x", "kanarie:x", "kanarie?x", "kanarie#x"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "address",
    [
        "http://me:{}@127.0.0.1:{port}/x", "https://{}@127.0.0.1:{port}", "http://127.0.0.1:{port}/?password={}",
        "weird://me:{}@127.0.0.1:{port}/x", "postgresql+psycopg2://me:{}@127.0.0.1:{port}/x",
        "postgresql+psycopg2://127.0.0.1:{port}/x?password={}", "postgresql+no://me:{}@127.0.0.1/x",
        "http://me:{}@127.0.0.1:abc", "mysql://me:{}@127.0.0.1:1/x",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_told_without_its_password(
    address: str, password: str, caplog: pytest.LogCaptureFixture, study_file: Path
) -> None:
    from harness.tracking.optuna_mirror import mirror

    if "{port}" in address and any(sign in password for sign in "@"):
        pytest.skip("the part behind @ would be looked up as a host's name")
    if address.startswith("https://{}@") and any(sign in password for sign in "/?#"):
        pytest.skip("the part before the sign would be looked up as a host's name")
    uri = address.replace("{port}", str(free_port())).replace("{}", password)
    told = []
    if "psycopg2" not in uri:  # MLflow tries for 12 s to reach it; the slow tests do so, too
        with pytest.raises(StoreError) as refused:
            connect(uri)
        told.append(str(refused.value))
    if not uri.startswith("http"):
        with pytest.raises(StoreError) as refused:
            mirror(uri, "x", load_study_file(str(study_file)), [], study_id="a")
        told.append(str(refused.value))
        with driving_alone(uri, "x"):
            told.append(caplog.text)
    assert "kanarie" not in " ".join(told).lower() and all(len(text.splitlines()) <= 1 for text in told)


def test_what_mlflow_says_is_told_without_the_password() -> None:
    import mlflow

    uri = "http://me:kanarie-1@host/x"
    with (
        pytest.raises(
            StoreError, match=r"MLflow at http://\*\*\*@host/x: request to http://\*\*\*@host/x/api"
        ),
        telling_store_errors(uri),
    ):
        raise mlflow.MlflowException(f"request to {uri}/api failed")


@pytest.mark.parametrize(
    ("text", "changes", "place"),
    [
        (STUDY + "# mlflow: http://me:kanarie-1@host\n", [], "line 8"),
        (STUDY, ["data.root=/x?token=kanarie-1"], "--set data.root"),
        (STUDY + "# kanarie-2\n", [], "line 8"),
        (STUDY, ["data={name: folder, root: s3://kanarie-2/}"], "--set data"),
    ],
)
def test_a_study_that_holds_a_secret_is_refused_and_the_secret_not_repeated(
    text: str,
    changes: list[str],
    place: str,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_SECRET", "kanarie-2")
    study_file.write_text(text)
    with pytest.raises(StudyError, match=place):
        load_study_file(str(study_file), changes)
    sets = [word for change in changes for word in ("--set", change)]
    assert run(["tune", "--study", str(study_file), *sets]) == 2
    assert "kanarie" not in capsys.readouterr().err
