"""MLflow's pages over a store: starts its server beside this process, and ends it again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from json import load
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from harness import invocation
from harness.environment import SAFE_PATH
from harness.errors import StoreError, UsageError
from harness.os_errors import explaining
from harness.tracking.experiment_view import TABLE
from harness.tracking.local_database import is_damaged, url_of
from harness.tracking.mlflow_addresses import follow

START_SECONDS = 120.0
STOP_SECONDS = 10.0
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # halves its memory and the time to start
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",  # whatever a team's server is told by these
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "",
}


@dataclass(frozen=True)
class Server:
    """A running MLflow server. url: of the study's trials, best first, or of the list of experiments."""

    url: str
    process: "subprocess.Popen[bytes]"

    def wait(self) -> None:
        """Return when the server has ended."""
        self.process.wait()


@contextmanager
def serve(
    home: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    study: str | None = None,
    open_browser: bool = False,
) -> Iterator[Server]:
    """MLflow's pages of the store in `home`, from the time they answer until the block ends.

    port: 0 is any that is free.   study: whose page to go to.
    Raises StoreError if there is no store, the port is taken or the server does not start, UsageError for an
    unknown study.
    """
    database = home.expanduser().absolute() / "mlflow.db"
    if not database.is_file():
        first = invocation.command("tune", "quickstart", home=database.parent)
        raise StoreError(f"{database}: there is none yet; tune a study first: {first}")
    port = _free_port(host, port)
    if is_damaged(database):
        sync = invocation.command("sync", home=database.parent)
        raise StoreError(f"{database}: damaged; {sync} puts it aside and makes it anew")
    # In an empty folder: MLflow starts uvicorn, which imports from the folder it is started in.
    with _writable(database) as served, tempfile.TemporaryDirectory(prefix="harness-ui-") as empty:
        if (database.parent / "folds").is_dir():
            follow(served, database.parent)
        process = _start(_mlflow(served, database.parent, host, port), ENVIRONMENT, folder=empty)
        try:
            root = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
            _wait_for_answer(process, f"{root}/health", "the MLflow server")
            url = _study_page(root, study) if study is not None else f"{root}/#/experiments"
            if open_browser:
                webbrowser.open(url)
            yield Server(url, process)
        finally:
            _stop(process)


@contextmanager
def serve_optuna(storage_url: str, *, port: int = 8080, open_browser: bool = False) -> Iterator[Server]:
    """Optuna's dashboard over its store, on this machine alone; otherwise as `serve`.

    Raises UsageError without the extra, StoreError if the port is taken or the server does not start.
    """
    if find_spec("optuna_dashboard") is None:
        raise UsageError("Optuna's dashboard needs the extra: pip install 'harness-cv[dashboard]'")
    port = _free_port("127.0.0.1", port)
    # The address may hold a password, so it goes by the environment: command lines can be seen by everybody.
    code = (
        "import os, optuna_dashboard as dashboard\n"
        f"dashboard.run_server(os.environ['HARNESS_STORAGE'], host='127.0.0.1', port={port})"
    )
    process = _start([sys.executable, "-c", code], {"HARNESS_STORAGE": storage_url})
    try:
        root = f"http://127.0.0.1:{port}"
        _wait_for_answer(process, f"{root}/dashboard/", "Optuna's dashboard")
        if open_browser:
            webbrowser.open(f"{root}/dashboard/")
        yield Server(f"{root}/dashboard/", process)
    finally:
        _stop(process)


@contextmanager
def _writable(database: Path) -> Iterator[Path]:
    """The database, or where it cannot be written to a copy of it, for MLflow's server writes into what it opens."""
    if os.access(database, os.W_OK) and os.access(database.parent, os.W_OK):
        yield database
        return
    with tempfile.TemporaryDirectory(prefix="harness-ui-") as folder:
        copy = Path(folder) / database.name
        with explaining(database):
            shutil.copyfile(database, copy)
        yield copy


def _mlflow(database: Path, home: Path, host: str, port: int) -> list[str]:
    return [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", url_of(database), "--default-artifact-root", (home / "artifacts").as_uri(),
        "--host", host, "--port", str(port), "--workers", "1",
        "--allowed-hosts", f"localhost:{port},127.0.0.1:{port},{host}:{port}",
    ]  # fmt: skip


def _start(
    command: list[str], environment: dict[str, str], *, folder: str | None = None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        env={**os.environ, **SAFE_PATH, **environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its own children end with it, and Ctrl-C reaches us first
    )


def _free_port(host: str, port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StoreError(
                f"port {port} of {host} cannot be used: {error.strerror}; try --port 0"
            ) from None
        return int(probe.getsockname()[1])


def _wait_for_answer(process: "subprocess.Popen[bytes]", url: str, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StoreError(f"{name} ended with exit code {process.returncode} before it answered")
        try:
            _open(url).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise StoreError(f"{name} has not answered within {START_SECONDS:.0f} s")


def _study_page(root: str, study: str) -> str:
    query = urlencode({"experiment_name": study})
    try:
        with _open(f"{root}/api/2.0/mlflow/experiments/get-by-name?{query}") as answer:
            experiment = load(answer)["experiment"]["experiment_id"]
    except HTTPError as error:
        error.close()
        raise UsageError(f"MLflow has no study {study!r} yet") from None
    return f"{root}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={TABLE}"


def _open(url: str):  # type: ignore[no-untyped-def]
    """Ask a server on this machine, whatever proxies are set."""
    return build_opener(ProxyHandler({})).open(url, timeout=5)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it has started."""
    for final in (False, True):
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL if final else signal.SIGTERM)
        else:
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return
