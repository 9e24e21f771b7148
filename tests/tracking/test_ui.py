"""MLflow's pages over a store: what people see in a browser, and how the server comes and goes."""

import shutil
import socket
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from harness.errors import StoreError
from harness.tracking.mlflow_tracker import MlflowTracker
from harness.tracking.ui import serve
from tests.tracking.fake_study import fake_study

CHROMIUM = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1600,1000"
)


def test_without_a_store_there_is_nothing_to_show(tmp_path):
    with pytest.raises(StoreError, match="there is none yet"), serve(tmp_path, port=0):
        pass


def test_a_port_in_use_is_told_in_one_line(tmp_path):
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = pytest.raises(StoreError, match=f"port {port} of 127.0.0.1 cannot be used")
        with refused, serve(tmp_path, port=port):
            pass


@pytest.mark.browser
@pytest.mark.timeout(240)
@pytest.mark.skipif(None in CHROMIUM, reason="needs chromium and chromedriver")
def test_a_browser_shows_the_trials_best_first(home):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    study = fake_study(home)
    MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home).deliver(
        study.record, study.trials, study.folds, final=True
    )
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
        finally:
            browser.quit()
        _refuses_a_foreign_host(server.url)
    assert server.process.poll() is not None


def _text(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def _refuses_a_foreign_host(url: str) -> None:
    request = Request(url.partition("#")[0] + "api/2.0/mlflow/experiments/get?experiment_id=0")
    request.add_header("Host", "evil.example.org")
    with pytest.raises(HTTPError) as refused:
        build_opener(ProxyHandler({})).open(request, timeout=10)
    refused.value.close()
    assert refused.value.code == 403
