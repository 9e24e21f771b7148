"""The page in a real browser, from the command that serves it: an image goes in, what the model says comes out."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.inference.export import save_model
from tests.inference.made_up_models import made, noise, save

CHROMIUM = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1000,900"
)
HOSTILE = '<img src=x onerror="document.title=1">.png'


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Of `harness serve` in a process of its own, with an index."""
    save_model(tmp_path / "model", made("resnet"), study="small", trial=0)
    for number, pixels in enumerate(noise(6)):
        save(pixels, tmp_path / "photos" / (HOSTILE if number == 2 else f"{number}.png"))
    command = [
        sys.executable,
        "-m",
        "harness",
        "serve",
        "model",
        "--port",
        "0",
        "--index",
        "photos",
        "--home",
        "home",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(line.strip() for line in process.stderr if re.match("http://127", line))
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
    assert process.returncode == 143 and "Traceback" not in said


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'browser'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMIUM[1]))
    yield browser
    browser.quit()


@pytest.mark.browser
@pytest.mark.timeout(240)
@pytest.mark.skipif(None in CHROMIUM, reason="needs chromium and chromedriver")
def test_a_file_is_answered_with_classes_place_and_similar_images(
    url: str, browser: Any, tmp_path: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def shown(name: str) -> bool:
        return bool(browser.find_element(By.ID, name).is_displayed())

    def widths(selector: str) -> list[int]:
        return [
            int(image.get_property("naturalWidth"))
            for image in browser.find_elements(By.CSS_SELECTOR, selector)
        ]

    browser.get(url)
    wait = WebDriverWait(browser, 60)
    wait.until(lambda driver: "6 images indexed" in driver.find_element(By.ID, "model").text)
    title = browser.title
    browser.find_element(By.ID, "file").send_keys(str(save(noise(6)[2], tmp_path / "query.png")))
    wait.until(lambda _: shown("answer"))
    label = browser.find_element(By.ID, "label").text
    rows = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#bars tr")]
    assert len(rows) == 3 and rows[0].startswith(label) and rows[0].endswith("%")
    assert not shown("error") and shown("looked") and shown("alike")
    wait.until(lambda _: all(widths("#given, #where, #similar img")))
    captions = [caption.text for caption in browser.find_elements(By.CSS_SELECTOR, "#similar figcaption")]
    assert captions[0] == f"1.000\n{HOSTILE}" and len(captions) == 6
    assert browser.title == title
    if os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(f"{os.environ['SCREENSHOTS']}/page.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    browser.find_element(By.ID, "file").send_keys(str(bad))
    wait.until(lambda _: shown("error"))
    assert browser.find_element(By.ID, "error").text == "not an image of a known format" and not shown(
        "answer"
    )
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert [message for message in complaints if "422" not in message] == []  # none of the policy's either
