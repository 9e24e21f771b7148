"""Report, gallery and similar images in a real browser: on a telephone and a desk, light and dark."""

import json
import os
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.policy import Policy
from harness.inference import similar_page
from harness.report.collect import collect
from harness.report.gallery import gallery
from harness.report.html import page
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from tests.analysis.made_up import Shape, made_up
from tests.report.test_report import CLASSES, HOSTILE, _audit
from tests.tracking.test_ui import CHROMIUM, FLAGS

AXE = "const done = arguments[arguments.length - 1]; axe.run().then((found) => done(found.violations));"
SCREENS = [(width, scheme) for width in (390, 1440) for scheme in ("light", "dark")]
CHARTS = """return [...document.querySelectorAll(".drawn")].map((place) => [
  place.dataset.chart,
  place.querySelector("svg.marks").getBoundingClientRect().width / place.getBoundingClientRect().width,
  place.closest("[aria-label]")?.ariaLabel ?? place.querySelector("[role=graphics-document]").ariaLabel,
]);"""
DRAWN = "return [...document.querySelectorAll('.study')].every((study) => 'drawn' in study.dataset)"
WITHOUT_TIME = """{
  const later = [], { setTimeout } = window;
  window.setTimeout = (call) => later.push(call);
  window.goOn = () => { window.setTimeout = setTimeout; for (const call of later.splice(0)) call(); };
  window.left = () => [...document.querySelectorAll(".drawn")].filter((one) => !one.querySelector("svg.marks")).length;
  window.leftInPrint = null;
  window.print = () => { window.leftInPrint = left(); };
  addEventListener("load", () => addEventListener("beforeprint", () => { window.leftInPrint = left(); }));
}"""  # between two charts a page gives the browser time: with none of it, most charts are not drawn until `goOn`

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(None in CHROMIUM, reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a report of one study, of three, one of them hostile, of a gallery and of similar images."""
    folder = tmp_path_factory.mktemp("pages")
    store = Store(folder / "home")
    made_up(store, "one", Shape(num_trials=24))
    made_up(store, "two", Shape(num_trials=24), seed=1)
    evil = Shape(num_trials=7, num_folds=2, num_epochs=2, failed=0.4)
    made_up(store, "evil", evil, question=HOSTILE, classes=CLASSES, reason=HOSTILE)
    _audit(store, "evil", HOSTILE)
    studies = [LoadedStudy.open(store, name) for name in ("one", "two", "evil")]
    gallery(studies[0], output=folder / "gallery.html")
    (folder / "report.html").write_text(page(collect(studies[:1], images=2)), encoding="utf-8")
    (folder / "three.html").write_text(page(collect(studies, images=1)), encoding="utf-8")
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    paths = [str(folder / f"{number}.png") for number in range(3)]
    row = similar_page.Row(
        "0.png", paths[0], [(paths[1], HOSTILE, 0.9), (paths[2], "b/2.png", 0.8), ("gone", "gone", 0.1)]
    )
    (folder / "similar.html").write_text(
        similar_page.page("Similar images", [row], Policy()), encoding="utf-8"
    )
    return {path.stem: path.as_uri() for path in folder.glob("*.html")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMIUM[1]))
    driver.set_script_timeout(110)  # for axe and ten thousand elements on a busy machine
    yield driver
    driver.quit()


def opened(browser: Any, url: str, width: int = 1440, scheme: str = "light") -> None:
    """Until all charts are drawn; nothing but the page itself is asked for, and nothing complained of."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("performance")
    browser.get(url)
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN))
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    asked = [one["request"]["url"] for one in sent if one["documentURL"] == url]
    assert [one for one in asked if not one.startswith("data:")] == [url]


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [(name, *screen) for name in ("report", "gallery", "similar") for screen in SCREENS]
    + [("three", 390, "dark")],
)
def test_axe_finds_nothing_and_all_fits(
    browser: Any, pages: dict[str, str], name: str, width: int, scheme: str
) -> None:
    opened(browser, pages[name], width, scheme)
    for summary in browser.find_elements("css selector", "main summary"):
        if summary.is_displayed() and summary.get_attribute("aria-label") is None:
            browser.execute_script("arguments[0].click()", summary)
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script(AXE)
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found] == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    if folder := os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(f"{folder}/{name}-{width}-{scheme}.png")


@pytest.mark.parametrize("width", [390, 1440])
def test_a_chart_is_as_wide_as_its_place_and_says_what_it_is(
    browser: Any, pages: dict[str, str], width: int
) -> None:
    opened(browser, pages["three"], width)
    for key, share, words in browser.execute_script(CHARTS):
        assert 0.8 < share <= 1.01 and len(words) > 5, key
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_long_names_may_be_broken_after_a_folder(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["similar"])
    captions = [caption.text for caption in browser.find_elements("css selector", "figcaption")]
    assert (
        captions[0] == "asked for" and captions[2] == "0.800\nb/2.png" and HOSTILE.split()[1] in captions[1]
    )
    assert len(browser.find_elements("css selector", "wbr")) >= 1


def test_pointing_at_a_trial_shows_it_everywhere(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver import ActionChains

    opened(browser, pages["report"])
    mark = browser.find_element(
        "css selector", "[data-chart=history] .mark-symbol path[aria-label^='trial: 0;']"
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(browser).move_to_element(mark).perform()
    tip = browser.find_element("id", "vg-tooltip-element").text
    assert "trial" in tip and "± 95 %" in tip
    assert [row.get_attribute("data-trial") for row in browser.find_elements("css selector", "tr.hot")] == [
        "0"
    ]


def test_what_is_chosen_holds_for_all_charts_and_axes_follow(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["report"])

    def ticks() -> list[float]:
        axis = browser.find_elements("css selector", "[data-chart=history] .role-axis-label")[1]
        return sorted(
            float(text.get_attribute("textContent").replace("−", "-"))
            for text in axis.find_elements("css selector", "text")
        )

    before, rows = ticks(), len(browser.find_elements("css selector", "tr[data-trial]"))
    browser.find_element("css selector", ".controls input[value=stopped]").click()
    kept = browser.find_element("css selector", "output.kept").text
    off = len(browser.find_elements("css selector", "tr.off"))
    assert off > 0 and kept.startswith(f"{rows - off} of {rows} trials; best of them: trial ")
    assert min(ticks()) > min(before)
    browser.find_element("css selector", ".controls button").click()
    assert ticks() == before and not browser.find_elements("css selector", "tr.off")


def test_a_part_of_an_axis_can_be_marked(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver import ActionChains

    opened(browser, pages["report"])
    chart = browser.find_element("css selector", "[data-chart=parallel] svg.marks")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    width = chart.rect["width"]
    start = ActionChains(browser).move_to_element_with_offset(chart, int(width * 0.46), -100)
    start.click_and_hold().move_by_offset(-40, 90).release().perform()
    kept = browser.find_element("css selector", "output.kept").text
    found = re.match(r"(\d+) of 24 trials", kept)
    assert found and 0 < int(found[1]) < 24


def test_tables_are_sorted_and_all_trials_shown_by_the_keyboard(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, pages["report"])
    table = browser.find_element("css selector", "table.ranks")

    def shown() -> list[int]:
        rows = table.find_elements("css selector", "tr[data-trial]")
        return [int(row.get_attribute("data-trial")) for row in rows if row.is_displayed()]

    assert len(shown()) == 20
    more = table.find_element("xpath", "../following-sibling::button")
    more.send_keys(Keys.ENTER)
    assert len(shown()) == 24
    head = table.find_element("css selector", "th button")
    head.send_keys(Keys.ENTER)
    assert shown() == list(range(23, -1, -1))
    head.send_keys(Keys.SPACE)
    assert shown() == list(range(24))
    assert table.find_element("css selector", "th").get_attribute("aria-sort") == "ascending"


def test_two_options_and_two_trials_can_be_chosen(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.support.ui import Select, WebDriverWait

    opened(browser, pages["report"])
    pair = Select(browser.find_element("css selector", "select.pair"))
    pair.select_by_index(3)
    chosen = pair.options[3].get_attribute("value")
    selector = f".drawn[data-chart='{chosen}'] svg.marks"
    WebDriverWait(browser, 10).until(lambda driver: driver.find_elements("css selector", selector))
    surface = f"{selector} .surface_marks path"
    assert len(browser.find_elements("css selector", surface)) > 20
    keep = browser.find_element("css selector", ".controls input[type=range]")
    set_to = (
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    )
    browser.execute_script(set_to, keep, 5)
    words = browser.find_element("css selector", selector).get_attribute("textContent")
    assert "No surface: of fewer than 6 trials" in words
    assert not browser.find_elements("css selector", surface)
    browser.execute_script(set_to, keep, 24)
    left = Select(browser.find_element("css selector", "select.left"))
    left.select_by_index(4)
    head = browser.find_element("css selector", ".beside tr").text
    assert head.startswith(left.options[4].text)
    legend = browser.find_element("css selector", "[data-chart=two] .role-legend").text
    assert f"left: {left.options[4].text}" in legend


def test_on_paper_nothing_is_folded_away_that_should_be_there(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["three"], 1440, "dark")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(browser.find_elements("css selector", "details.print[open]")) == 3
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    style = "return getComputedStyle(document.body)"
    assert browser.execute_script(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert not browser.find_element("css selector", ".controls").is_displayed()
    widths = browser.execute_script(
        "return [...document.querySelectorAll('svg.marks')].map((svg) => svg.getBoundingClientRect().width / "
        "svg.closest('.drawn').getBoundingClientRect().width)"
    )
    assert max(widths) <= 1.01
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.fixture
def without_time(browser: Any) -> Iterator[None]:
    """Pages as WITHOUT_TIME has them."""
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WITHOUT_TIME})
    yield
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.mark.usefixtures("without_time")
def test_a_print_right_after_loading_has_all_charts(browser: Any, pages: dict[str, str]) -> None:
    browser.get(pages["three"])
    assert browser.execute_script("return left()") > 20
    browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert browser.execute_script("return leftInPrint") == 0
    assert all(
        cell.get_attribute("textContent")
        for table in browser.find_elements("css selector", ".beside")
        for cell in table.find_elements("css selector", "tr:first-child td + td")
    )
    browser.execute_script("goOn()")
    assert browser.get_log("browser") == []


@pytest.mark.usefixtures("without_time")
def test_a_script_that_prints_gets_all_charts(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(pages["report"])
    browser.execute_script("print()")
    assert browser.execute_script("return left()") > 10
    assert browser.execute_script("return leftInPrint") is None
    browser.execute_script("goOn()")
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script("return leftInPrint !== null"))
    assert browser.execute_script("return leftInPrint") == 0
