"""The page in a real browser, from the command that serves it: images go in, what the model says comes out."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
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
SCREENS = [
    (width, scheme, height) for width, height in ((390, 844), (1440, 900)) for scheme in ("dark", "light")
]
AXE = "const done = arguments[arguments.length - 1]; axe.run().then((found) => done(found.violations));"
# What a drop or a paste of files is to a page: (kind of event, names of files, whether the event has files at all).
HAND_OVER = """
const [kind, names] = arguments;
const given = new DataTransfer();
for (const name of names) given.items.add(new File(["no image"], name, { type: "image/png" }));
if (!names.length) given.setData("text/plain", "https://images.example/cat.png");
const options = { bubbles: true, cancelable: true, dataTransfer: given, clipboardData: given };
document.body.dispatchEvent(new (kind === "paste" ? ClipboardEvent : DragEvent)(kind, options));
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(None in CHROMIUM, reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of `harness serve` in a process of its own, with an index."""
    folder = tmp_path_factory.mktemp("served")
    save_model(folder / "model", made("resnet"), study="small", trial=0)
    for number, pixels in enumerate(noise(6)):
        save(pixels, folder / "photos" / (HOSTILE if number == 2 else f"{number}.png"))
    command = [sys.executable, "-m", "harness", "serve", "model", "--port", "0", "--index", "photos"]
    command += ["--home", "home"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(line.strip() for line in process.stderr if re.match("http://127", line))
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
    assert process.returncode == 143 and "Traceback" not in said


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMIUM[1]))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chrome: Any, url: str) -> Iterator[Any]:
    """With the page open. At the end it must have had nothing to complain about but images that are none."""
    chrome.get(url)
    yield chrome
    complaints = [entry["message"] for entry in chrome.get_log("browser")]
    assert [message for message in complaints if "422" not in message] == []  # none of the policy's either


@pytest.fixture
def files_of(tmp_path: Path) -> Callable[..., list[Path]]:
    """Files of these images, and one that is none for each None."""

    def made_files(*numbers: int | None) -> list[Path]:
        found = []
        for place, number in enumerate(numbers):
            path = tmp_path / f"query {place}.png"
            path.write_bytes(b"no image") if number is None else save(noise(6)[number], path)
            found.append(path)
        return found

    return made_files


def give(browser: Any, paths: list[Path]) -> None:
    """Chooses files, and waits until each has its answer."""
    one(browser, "#file").send_keys("\n".join(map(str, paths)))
    until(browser, lambda: one(browser, "#progress").text and "waiting" not in one(browser, "#progress").text)


def until(browser: Any, holds: Callable[[], Any]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda _: holds())


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def all_of(browser: Any, selector: str) -> list[Any]:
    """Those that are shown."""
    return [part for part in browser.find_elements("css selector", selector) if part.is_displayed()]


def test_a_file_is_answered_with_classes_place_and_similar_images(
    browser: Any, files_of: Callable[..., list[Path]]
) -> None:
    assert one(browser, "#model").text.endswith("3 classes; 6 images indexed")
    title = browser.title
    give(browser, files_of(2))
    label = one(browser, ".label").text
    rows = [row.text for row in all_of(browser, ".bars tr")]
    assert len(rows) == 3 and rows[0].startswith(label) and rows[0].endswith("%")
    assert all_of(browser, ".looked") and f"spoke most for {label}" in one(browser, ".looked").text
    pictures = browser.find_elements("css selector", ".given, .where, .row img")
    until(browser, lambda: all(picture.get_property("naturalWidth") for picture in pictures))
    captions = [caption.text for caption in all_of(browser, ".row figcaption")]
    assert captions[0] == f"1.000\n{HOSTILE}" and len(captions) == 6
    assert not all_of(browser, ".failure, #error") and browser.title == title
    if os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(f"{os.environ['SCREENSHOTS']}/page.png")


def test_of_many_files_each_has_an_answer_of_its_own(
    browser: Any, files_of: Callable[..., list[Path]]
) -> None:
    paths = files_of(0, None, 1, 2, 3, 4)
    with (paths[0].parent / "large.png").open("wb") as large:
        large.truncate(12_345_678)
    give(browser, [*paths, Path(large.name)])
    assert one(browser, "#progress").text == "5 of 7 answered, 2 without an answer"
    assert [name.text for name in all_of(browser, ".name")] == [*(path.name for path in paths), "large.png"]
    assert [why.text for why in all_of(browser, ".why")] == [
        "No answer: not an image of a known format.",
        "This file has 12.3 MB, and 10 MB are allowed: save it smaller, or as JPEG.",
    ]
    assert len(all_of(browser, ".label")) == 5 and not all_of(browser, ".again")
    one(browser, "#clear").click()
    assert not all_of(browser, "#results li") and one(browser, "#progress").text == ""


def test_where_it_looked_is_left_out_on_demand(browser: Any, files_of: Callable[..., list[Path]]) -> None:
    one(browser, "#explain").click()
    give(browser, files_of(2))
    assert all_of(browser, ".label") and not all_of(browser, ".looked, .explained")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_images_are_dropped_and_pasted(browser: Any, kind: str) -> None:
    browser.execute_script(HAND_OVER, kind, [])
    what = "no file" if kind == "drop" else "no image in the clipboard"
    assert what in one(browser, "#error").text
    browser.execute_script(HAND_OVER, kind, ["a.png", "b.png"])
    until(browser, lambda: one(browser, "#progress").text == "0 of 2 answered, 2 without an answer")
    assert not all_of(browser, "#error")


def test_a_server_that_has_gone_is_told_and_can_be_asked_again(
    browser: Any, files_of: Callable[..., list[Path]]
) -> None:
    browser.execute_script("window.sent = window.fetch; window.fetch = () => Promise.reject(new Error());")
    give(browser, files_of(2))
    assert one(browser, ".why").text == "The server does not answer. Is harness serve still running?"
    browser.execute_script("window.fetch = window.sent;")
    one(browser, ".again").click()
    until(browser, lambda: one(browser, "#progress").text == "1 of 1 answered")
    assert not all_of(browser, ".failure")


@pytest.mark.parametrize(("width", "scheme", "height"), SCREENS)
def test_axe_finds_nothing_and_all_fits(
    browser: Any, files_of: Callable[..., list[Path]], width: int, scheme: str, height: int
) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
        assert browser.execute_async_script(AXE) == []
        give(browser, files_of(0, None, 2))
        for summary in all_of(browser, "summary"):
            summary.click()
        browser.execute_script(HAND_OVER, "paste", [])
        assert browser.execute_async_script(AXE) == []
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        if folder := os.environ.get("SCREENSHOTS"):
            browser.save_screenshot(f"{folder}/page-{width}-{scheme}.png")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_all_is_reached_and_used_by_the_keyboard(browser: Any, files_of: Callable[..., list[Path]]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key: str) -> str:
        """What has the focus then: its id or class, or the kind of element."""
        ActionChains(browser).send_keys(key).perform()
        focused = browser.switch_to.active_element
        name = focused.get_attribute("id") or focused.get_attribute("class")
        return str(name or focused.find_element("xpath", "..").get_attribute("class"))

    give(browser, files_of(0, 1))
    browser.execute_script("document.activeElement.blur(); window.getSelection().removeAllRanges();")
    around = [press(Keys.TAB) for _ in range(9)]
    card = ["remove", "explained", "alike"]
    assert around == ["file", "explain", "clear", *card, *card]
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.execute_script(outline) == "solid"
    press(Keys.ENTER)  # similar images of the second
    assert len(all_of(browser, ".row")) == 1
    for _ in range(2):
        ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    assert press(Keys.SPACE) == "remove"  # of the first, where the focus goes when the second has gone
    assert press(Keys.ENTER) == "file" and not all_of(browser, "#results li")
    press(Keys.TAB)
    press(Keys.SPACE)
    assert not one(browser, "#explain").is_selected()
