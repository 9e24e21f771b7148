"""python -m tests.screenshots HOME STUDY: the README's pictures, taken of a finished study in a real browser.

Writes .github/mlflow.png, mlflow_compare.png, report.png and report_dark.png. Needs chromium and chromedriver.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.cli import run
from harness.files import read_json
from harness.study.store import Store
from harness.tracking.ui import serve
from tests.tracking.test_ui import CHROMIUM, FLAGS

TARGET = Path(__file__).parents[1] / ".github"


def main() -> None:
    home, study = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder, chromium(1400, 900) as browser:
        page = Path(folder) / "report.html"
        assert run(["report", study, "--home", str(home), "-o", str(page)]) == 0
        for scheme, name in (("light", "report.png"), ("dark", "report_dark.png")):
            emulate(browser, scheme)
            browser.get(page.as_uri())
            browser.save_screenshot(str(TARGET / name))
        emulate(browser, "light")
        with serve(home, port=0, study=study) as server:
            browser.get(server.url)
            wait(browser, "trial 0")
            for button in ("assistant.chat_panel.close", "experiment_page.shared_view.dismiss"):
                browser.execute_script(
                    f"document.querySelector('[data-component-id=\"mlflow.{button}\"]')?.click()"
                )
            time.sleep(1)
            browser.save_screenshot(str(TARGET / "mlflow.png"))
            browser.get(compare_url(server.url, Store(home), study))
            wait(browser, "Parallel Coordinates")
            browser.save_screenshot(str(TARGET / "mlflow_compare.png"))


def compare_url(url: str, store: Store, study: str) -> str:
    """MLflow's page that lays all trials of the study side by side."""
    runs = list(read_json(store.study_folder(study) / "mlflow.json")["trials"].values())
    root, _, rest = url.partition("/#/experiments/")
    experiment = rest.partition("/")[0]
    return f"{root}/#/compare-runs?runs={json.dumps(runs)}&experiments={json.dumps([experiment])}"


def wait(browser: Any, text: str) -> None:
    """Until the page shows the text, and has had time to draw."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(
        lambda driver: text in driver.execute_script("return document.body.innerText")
    )
    time.sleep(3)


def emulate(browser: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@contextmanager
def chromium(width: int, height: int) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--window-size={width},{height}"]:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMIUM[1]))
    try:
        yield browser
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
