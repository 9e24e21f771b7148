"""The documents' pictures, taken of a finished study of the digits in a real browser. Needs chromium and chromedriver.

harness tune --study quickstart --home HOME && python -m tests.screenshots HOME quickstart

Writes mlflow.png, mlflow_compare.png, report.png, report_dark.png, serve.png and similar.png into .github. The images
in them are the embedded digits, which anybody may publish; those that are asked for are not among the indexed ones.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from harness.cli import run
from harness.data import digits
from harness.files import read_json
from harness.store.store import Store
from harness.tracking.ui import serve
from tests.tracking.test_ui import CHROMIUM, FLAGS

TARGET = Path(__file__).parents[1] / ".github"
CHROME = 143  # pixels of the window's height that a page does not get
NUM_COLOURS, OF_THUMBNAILS = 255, 64  # of a picture; images that are enlarged take most of its bytes
HOME = "/home/me"  # that pages are to name
ASKED = ("8", "3", "9")  # classes of digits, of each of which one image is asked for


def main() -> None:
    home, study = sys.argv[1:]
    tracking(Path(home).absolute(), study)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        serving(Path(home).absolute(), study, "photos", write_digits(Path("photos"), Path("new")))


def write_digits(photos: Path, new: Path) -> list[str]:
    """The training images in folders by class; the first of each class that is asked for goes elsewhere."""
    images = digits.load(Path(), "train")
    for number, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
        name, is_first = images.classes[label], bool((images.labels[:number] != label).all())
        path = new / f"{name}.png" if is_first and name in ASKED else photos / name / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(path)
    return sorted(str(path) for path in new.iterdir())


def tracking(home: Path, study: str) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium(1440, 900) as browser:
        page = Path(folder) / "report.html"
        assert run(["report", study, "--home", str(home), "-o", str(page)]) == 0
        for scheme, name in (("light", "report.png"), ("dark", "report_dark.png")):
            emulate(browser, scheme)
            browser.get(page.as_uri())
            wait_drawn(browser)
            save(browser, name)
        emulate(browser, "light")
        with serve(home, port=0, study=study) as server:
            browser.get(server.url)
            wait(browser, "trial 0")
            for button in ("assistant.chat_panel.close", "experiment_page.shared_view.dismiss"):
                browser.execute_script(
                    f"document.querySelector('[data-component-id=\"mlflow.{button}\"]')?.click()"
                )
            time.sleep(1)
            save(browser, "mlflow.png")
            browser.get(compare_url(server.url, Store(home), study))
            wait(browser, "Parallel Coordinates")
            save(browser, "mlflow_compare.png")


def serving(home: Path, study: str, photos: str, asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium(1000, 900) as browser:
        with served(home, study, photos) as url:
            browser.get(url)
            wait(browser, "images indexed")
            browser.find_element("id", "file").send_keys(str(Path(asked[0]).absolute()))
            wait(browser, "Similar images")
            browser.execute_script("document.activeElement.blur()")
            show_all(browser)
            save(browser, "serve.png", OF_THUMBNAILS)
        page = Path(folder) / "similar.html"
        options = ["--index", photos, "--home", str(home), "--html", str(page), "--top", "6"]
        assert run(["similar", study, *asked, *options]) == 0
        browser.get(page.as_uri())
        wait(browser, asked[-1])
        where = f"document.querySelector('h1').textContent = 'Similar images in {HOME}/photos'"
        browser.execute_script(where)
        show_all(browser)
        save(browser, "similar.png", OF_THUMBNAILS)


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


def show_all(browser: Any) -> None:
    """Make the window as high as the page."""
    height = browser.execute_script(
        "return Math.ceil(document.documentElement.getBoundingClientRect().height)"
    )
    browser.set_window_size(1000, height + CHROME)
    time.sleep(1)


def save(browser: Any, name: str, num_colours: int = NUM_COLOURS) -> None:
    """What the window shows, with so many colours, as the file of this name."""
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    image.quantize(num_colours, kmeans=4, dither=Image.Dither.NONE).save(TARGET / name, optimize=True)


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
