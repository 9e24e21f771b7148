"""MLflow's pages over a store: what people see in a browser, and how the server comes and goes."""

import json
import shutil
import socket
import sqlite3
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from harness.errors import StoreError
from harness.tracking.mlflow_tracker import MlflowTracker
from harness.tracking.ui import serve, serve_optuna
from harness.tracking.views import trial_name
from tests.tracking.fake_study import fake_study

CHROMIUM = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1600,1000"
)


def test_without_a_store_there_is_nothing_to_show(tmp_path):
    with pytest.raises(StoreError, match="there is none yet") as none, serve(tmp_path, port=0):
        pass
    assert str(none.value).endswith(f"harness tune quickstart --home {tmp_path}")
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="damaged") as damaged, serve(tmp_path, port=0):
        pass
    assert f"harness sync --home {tmp_path} puts it aside" in str(damaged.value)


def test_a_port_in_use_is_told_in_one_line(tmp_path):
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = pytest.raises(StoreError, match=f"port {port} of 127.0.0.1 cannot be used")
        with refused, serve(tmp_path, port=port):
            pass


@pytest.mark.slow
def test_optunas_dashboard_shows_the_study(tmp_path: Path) -> None:
    import optuna

    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(storage=url, study_name="depth")
    with serve_optuna(url, port=0) as server:
        port = int(urlsplit(server.url).port or 0)
        assert _listening(port) == {"127.0.0.1"}
        assert b'"study_name": "depth"' in _answer(port, "GET", "/api/studies", Host=f"127.0.0.1:{port}")[1]
        assert url not in Path(f"/proc/{server.process.pid}/cmdline").read_text()
    assert server.process.poll() is not None


@pytest.mark.browser
@pytest.mark.timeout(240)
@pytest.mark.skipif(None in CHROMIUM, reason="needs chromium and chromedriver")
def test_a_browser_shows_the_trials_best_first(home):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    study = fake_study(home)
    MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home).deliver(study.loaded, final=True)
    options = webdriver.ChromeOptions()
    for flag in FLAGS.split():
        options.add_argument(flag)
    with serve(home, port=0, study=study.name) as server:
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMIUM[1]))
        try:
            browser.get(server.url)
            page = WebDriverWait(browser, 60)
            page.until(lambda driver: "trial 3" in _text(driver))
            text = _text(browser)
            assert study.name in text and "Does depth help on digits?" in text
            assert text.index("trial 3") < text.index("trial 0") < text.index("trial 2")
            assert "model.dropout" in text and "accuracy" in text
            browser.get("about:blank")  # the page of runs as MLflow shows it by itself
            browser.get(server.url.partition("&viewStateShareKey")[0])
            page.until(lambda driver: f"{len(study.folds) + 5} matching runs" in _text(driver))
            assert browser.find_elements(By.LINK_TEXT, study.name)
            runs = [run_id(home, trial_name(trial)) for trial in study.trials]
            browser.get(
                f"{server.url.partition('#')[0]}#/compare-runs?runs={json.dumps(runs)}&experiments=%5B%221%22%5D"
            )
            page.until(lambda driver: "Parallel Coordinates Plot" in _text(driver))
            page.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .parcoords"))
            text = _text(browser)
            assert f"Comparing {len(runs)} Runs" in text and "model.dropout" in text and "train.lr" in text
        finally:
            browser.quit()
        _refuses_a_foreign_host(server.url)
    assert server.process.poll() is not None


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_only_this_machine_and_only_its_own_pages_are_answered(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other address listens, a foreign Host or Origin is refused, no jobs and no telemetry."""
    monkeypatch.setenv("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")  # for a team's server
    monkeypatch.setenv("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "*")
    study = fake_study(home)
    MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home).deliver(study.loaded, final=True)
    with serve(home, port=0, study=study.name) as server:
        port = int(urlsplit(server.url).port or 0)
        own = f"127.0.0.1:{port}"
        assert _listening(port) == {"127.0.0.1"}
        assert _status(port, "GET", READ, Host=own) == 200
        for host in ("evil.example", f"evil.example:{port}", f"{own}.evil.example", "127.0.0.1:1", "0.0.0.0"):
            assert _status(port, "GET", READ, Host=host) == 403, host
        for origin in ("http://evil.example", f"http://127.0.0.1.evil.example:{port}", "null"):
            assert _status(port, "POST", CREATE, Host=own, Origin=origin) == 403, origin
        assert _status(port, "POST", CREATE, Host=own, Origin=f"http://{own}") == 200
        assert _status(port, "POST", JOBS, Host=own) == 500  # and not taken
        assert b"job execution feature is not enabled" in _answer(port, "POST", JOBS, Host=own)[1]
        environment = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
        assert b"MLFLOW_DISABLE_TELEMETRY=true" in environment
        assert b"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in environment


READ = "/api/2.0/mlflow/experiments/get?experiment_id=0"
CREATE = "/ajax-api/2.0/mlflow/experiments/create"
JOBS = "/ajax-api/3.0/jobs/"
BODIES = {CREATE: b'{"name": "made by a test"}', JOBS: b'{"job_name": "invoke_scorer", "params": {}}'}


def _status(port: int, method: str, path: str, **headers: str) -> int:
    return _answer(port, method, path, **headers)[0]


def _answer(port: int, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        body = BODIES.get(path, b"")
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _listening(port: int) -> set[str]:
    """The addresses of this machine that listen at the port, as the kernel has them."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(number, 16) == port:
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found.add(socket.inet_ntop(family, b"".join(words)))
    return found


def run_id(home: Path, name: str) -> str:
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return str(connection.execute("select run_uuid from runs where name = ?", (name,)).fetchone()[0])


def _text(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def _refuses_a_foreign_host(url: str) -> None:
    request = Request(url.partition("#")[0] + "api/2.0/mlflow/experiments/get?experiment_id=0")
    request.add_header("Host", "evil.example.org")
    with pytest.raises(HTTPError) as refused:
        build_opener(ProxyHandler({})).open(request, timeout=10)
    refused.value.close()
    assert refused.value.code == 403
