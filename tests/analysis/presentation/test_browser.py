"""The report in a real browser: nothing is wider than the page, plots react, nothing is fetched."""

import shutil

import numpy as np
import pytest
from planted_answers import answers, subject_of

from dacbn.analysis.domains.touchable import draw_touchable
from dacbn.analysis.predictions.gallery import draw_gallery
from dacbn.analysis.predictions.label_errors import draw_label_errors
from dacbn.analysis.predictions.mistakes import draw_mistakes
from dacbn.analysis.predictions.predictions import draw_predictions
from dacbn.analysis.presentation.html import write_report
from dacbn.analysis.presentation.section import Section

browsers = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'dacbn[report]'")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("default"),  # of the browser's own threads
]
COUNT = 40
CLASSES = [f"Elektrische Zahnbürste & Ladegerät <{number}>" for number in range(COUNT)]
LAYERS = [{f"measure {n} before": 0.123456 * n for n in range(14)} | {"layer": "a.b" * 12}]


@pytest.fixture(scope="module")
def browser():
    with browsers.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Write a page with all that pages hold, for many classes of long names."""
    folder, random = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    shares = random.dirichlet(0.1 * np.ones(COUNT), 120)
    outputs = {"source": answers(shares, shares.argmax(1))}
    outputs["target"] = answers(shares, np.where(np.arange(120) % 3, shares.argmax(1), 7))
    subject = subject_of(
        outputs, CLASSES, tuple(f"camera/very_long_{'x' * 40}{n}.png" for n in range(120))
    )
    corners = np.array([[0, 0], [-1, -1], [1, 1], [-1, 1], [1, -1]], float)
    rows = {"source": np.arange(5), "target": np.arange(5)}
    plot = draw_touchable(np.concatenate([corners, corners * 0.5]), rows, subject, outputs)
    sections = [
        Section("Verdict", ("A sentence with " + "a_very_long_word" * 8,)),
        *draw_gallery(subject, outputs),
        *draw_mistakes(subject, outputs),
        draw_label_errors(subject, outputs),
        draw_predictions(outputs, CLASSES, folder / "figures"),
        Section("Features", plot=plot, terms=("t-SNE",)),
        Section("Distances", tables={"Layers": LAYERS}, terms=("MMD²",), folded=True),
    ]
    path = folder / "report.html"
    commands = ["dacbn train --source " + "folder/" * 40]
    write_report(path, "a → b", sections, {"Settings": {"lr": "0.1"}}, commands, ("Target: 3.",))
    return path


@pytest.fixture
def opened(browser, report):
    """Open the page with a width, and collect what goes wrong."""
    contexts, wrong = [], []

    def open_page(width):
        context = browser.new_context(viewport={"width": width, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda sent: wrong.append(sent.url) if is_outside(sent.url) else None)
        page.goto(report.as_uri())
        page.wait_for_selector(".bk-Figure canvas", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def is_outside(address):
    return not address.startswith(("file:", "data:", "blob:"))


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_page(opened, width):
    page = opened(width)
    for state in ("folded", "open"):
        assert page.evaluate("document.documentElement.scrollWidth") == width, state
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    beyond = page.evaluate(
        """width => [...document.querySelectorAll('body *')].filter(each =>
        !each.closest('.wide') && each.getBoundingClientRect().right > width + 1
        ).map(each => each.outerHTML.slice(0, 80))""",
        width,
    )
    assert beyond == []
    boxes = page.evaluate(
        """[...document.querySelectorAll('.wide')]
        .filter(each => each.scrollWidth > each.clientWidth)
        .map(each => getComputedStyle(each).overflowX)"""
    )
    assert boxes and set(boxes) == {"auto"}  # the wide table scrolls in its own box


def test_a_point_shows_its_image_and_answer(opened):
    page = opened(1280)
    place = page.locator(".bk-Figure").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    tip = page.locator(".bk-Tooltip img")
    for step in range(20, int(box["height"]), 6):  # the first image is in the middle
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + step)
        if tip.count():
            break
    assert tip.first.get_attribute("src").startswith("data:image/")
    assert tip.first.evaluate("each => each.naturalWidth") > 0
    words = tip.first.evaluate("each => each.parentElement.innerText")
    assert "camera/very_long" in words and "Elektrische Zahnbürste & Ladegerät <" in words


def test_a_folded_section_opens(opened):
    page = opened(768)
    table = page.get_by_text("measure 3 before")
    assert not table.is_visible()
    page.get_by_role("heading", name="Distances").click()
    assert table.is_visible()
