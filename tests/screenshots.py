"""The README's pictures, taken of a finished study in a real browser. Needs chromium and chromedriver.

python -m tests.screenshots HOME STUDY                   mlflow, mlflow_compare, report, report_dark
python -m tests.screenshots HOME STUDY PHOTOS IMAGE…     serve, similar: PHOTOS is indexed, each image is asked for

Writes .github/NAME.png.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from harness.cli import run
from harness.files import read_json
from harness.store.store import Store
from harness.tracking.ui import serve
from tests.tracking.test_ui import CHROMIUM, FLAGS

TARGET = Path(__file__).parents[1] / ".github"
CHROME = 143  # pixels of the window's height that a page does not get
NUM_COLOURS = 255  # of a picture that is mostly text and thumbnails


def main() -> None:
    home, study, *images = sys.argv[1:]
    if images:
        serving(Path(home), study, images[0], images[1:])
    else:
        tracking(Path(home), study)


def tracking(home: Path, study: str) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium(1400, 900) as browser:
        page = Path(folder) / "report.html"
        assert run(["report", study, "--home", str(home), "-o", str(page)]) == 0
        for scheme, name in (("light", "report.png"), ("dark", "report_dark.png")):
            emulate(browser, scheme)
            browser.get(page.as_uri())
            wait_drawn(browser)
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


def serving(home: Path, study: str, photos: str, asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium(1000, 900) as browser:
        with served(home, study, photos) as url:
            browser.get(url)
            wait(browser, "images indexed")
            browser.find_element("id", "file").send_keys(str(Path(asked[0]).absolute()))
            wait(browser, "Similar images")
            browser.execute_script("document.activeElement.blur()")
            save(browser, "serve.png")
        page = Path(folder) / "similar.html"
        options = ["--index", photos, "--home", str(home), "--html", str(page), "--top", "6"]
        assert run(["similar", study, *asked, *options]) == 0
        browser.get(page.as_uri())
        wait(browser, asked[-1])
        save(browser, "similar.png")


@contextmanager
def served(home: Path, study: str, photos: str) -> Iterator[str]:
    """The address of `harness serve` in a process of its own."""
    options = ["--port", "0", "--index", photos, "--home", str(home)]
    command = [sys.executable, "-m", "harness", "serve", study, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(line.strip() for line in process.stderr if line.startswith("http://"))
        finally:
            process.terminate()


def save(browser: Any, name: str) -> None:
    """The page from its top to its end, with few colours, as the file of this name."""
    height = browser.execute_script(
        "return Math.ceil(document.documentElement.getBoundingClientRect().height)"
    )
    browser.set_window_size(1000, height + CHROME)
    time.sleep(1)
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    image.quantize(NUM_COLOURS, kmeans=4).save(TARGET / name, optimize=True)


def compare_url(url: str, store: Store, study: str) -> str:
    """MLflow's page that lays the complete trials of the study side by side."""
    complete = [str(trial.number) for trial in store.read_trials(study) if trial.state == "complete"]
    known = read_json(store.study_folder(study) / "mlflow.json")["trials"]
    runs = [known[number] for number in complete]
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


def wait_drawn(browser: Any) -> None:
    """Until a report has all its charts."""
    from selenium.webdriver.support.ui import WebDriverWait

    drawn = "return [...document.querySelectorAll('.study')].every((study) => 'drawn' in study.dataset)"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(drawn))


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
