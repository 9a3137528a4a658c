"""The page in a real browser: silent, readable at any width, its filter and tooltips alive."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jessy_build.reports import html
from jessy_build.reports.data import ReportData
from tests.reports.browser import Page, chromium, until
from tests.reports.conftest import finished_build
from tests.reports.test_html import EVIL, hostile
from tests.required import missing

SHOWN = "[...document.querySelectorAll('.compare tbody tr')].filter((row) => row.offsetParent)"
PROMPTS = f"{SHOWN}.map((row) => row.querySelector('.prompt').textContent)"
SUMMARY = "document.querySelector('.shown').textContent"
WIDER = """[...document.querySelectorAll('body *')]
  .filter((e) => !e.closest('.scroll, pre, .quiet, thead') && e.getBoundingClientRect().width)
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
  .map((e) => e.tagName + '.' + e.className.toString())"""
OPEN_ALL = "document.querySelectorAll('details').forEach((details) => { details.open = true })"
CONTRASTS = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelectorAll('main *, footer *')].filter(own)
    .filter((e) => !e.closest('title, desc, option'))
    .map((e) => {
      const style = getComputedStyle(e);
      const a = light(rgb(e.closest('svg') ? style.fill : style.color)), b = light(behind(e));
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + '.' + e.className];
    })
    .filter(([ratio]) => ratio < 4.5);
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        if found is None:
            missing("chromium", "no Chromium is installed here")
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), finished_build())


def written(folder: Path, data: ReportData) -> Path:
    path = folder / "report.html"
    path.write_text(html.render(data), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def silence(page: Page) -> Iterator[None]:
    """No test may leave a console error, a refused style or script, or a request behind."""
    page.errors.clear()
    page.asked.clear()
    yield
    assert page.errors == []
    assert len({url.partition("#")[0] for url in page.asked}) <= 1, page.asked


@pytest.mark.parametrize("width", [320, 390, 700, 1000, 1600])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_window(page: Page, file: Path, width: int, dark: bool) -> None:
    page.open(file, width=width, dark=dark)
    page.run(OPEN_ALL)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(WIDER) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(page: Page, file: Path, dark: bool) -> None:
    page.open(file, dark=dark)
    page.run(OPEN_ALL)
    assert page.run(CONTRASTS) == []


def test_dark_and_light_differ(page: Page, file: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.open(file)
    light = page.run(ground)
    page.open(file, dark=True)
    assert page.run(ground) != light


def test_typing_filters_rows_without_regard_to_turkish_marks(page: Page, file: Path) -> None:
    page.open(file)
    assert len(page.run(PROMPTS)) == 12
    page.run("document.getElementById('q').focus()")
    page.type("TESEKKUR")
    assert page.run(PROMPTS) == ["teşekkürler, çok yardımcı oldun"]
    assert page.run(SUMMARY) == (
        "1 of 12 prompts · median 96 → 9 tokens, 3.4 → 0.5 s · ended by themselves 0 → 1"
    )
    assert page.run("location.hash") == "#q=TESEKKUR"


def test_a_link_opens_the_page_with_its_filter(page: Page, file: Path) -> None:
    page.open(file, "#language=tr&complexity=medium")
    assert page.run(PROMPTS) == ["neden rust öğreneyim"]
    assert page.run("document.getElementById('language').value") == "tr"


def test_lists_narrow_the_rows_together(page: Page, file: Path) -> None:
    page.open(file)
    for name, value in (("language", "en"), ("seen", "trained on")):
        page.run(
            f"(() => {{ const list = document.getElementById('{name}'); list.value = '{value}';"
            "list.dispatchEvent(new Event('input', { bubbles: true })) })()"
        )
    assert page.run(PROMPTS) == ["thanks!"]


def test_a_filter_that_matches_nothing_says_so(page: Page, file: Path) -> None:
    page.open(file, "#q=zzz")
    assert page.run(PROMPTS) == []
    assert page.run(SUMMARY) == "No prompt matches."


def test_the_page_and_its_script_tell_the_same_figures(page: Page, file: Path) -> None:
    page.open(file)
    static = page.run(SUMMARY)
    page.run("document.getElementById('q').dispatchEvent(new Event('input', { bubbles: true }))")
    assert page.run(SUMMARY) == static == html.filter_summary(finished_build().comparisons)


def test_the_curve_tells_its_losses_to_pointer_and_keys(page: Page, file: Path) -> None:
    page.open(file)
    tip = "document.querySelector('.curve.wide .tip')"
    assert page.run(f"{tip}.hidden") is True
    page.run("document.querySelector('.curve.wide svg').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    assert page.run(f"{tip}.textContent") == ("step 0, epoch 0\nvalidation 4.120\ntokens/s 168")
    box = page.run(
        "(() => { const svg = document.querySelector('.curve.wide svg'); svg.scrollIntoView();"
        "const box = svg.getBoundingClientRect(); return [box.right, box.top + box.height / 2] })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] - 120, y=box[1])
    assert page.run(f"{tip}.textContent").startswith("step 1")
    assert page.run(f"{tip}.getBoundingClientRect().right") <= box[0] + 1


def test_the_narrow_curve_replaces_the_wide_one(page: Page, file: Path) -> None:
    shown = "[...document.querySelectorAll('.curve')].filter((e) => e.offsetParent).length"
    for width in (390, 1200):
        page.open(file, width=width)
        assert page.run(shown) == 1


def test_a_long_answer_opens_in_full(page: Page, file: Path) -> None:
    page.open(file)
    text = "document.querySelector('.lead .base .text')"
    before = page.run(f"{text}.clientHeight")
    page.run("document.querySelector('.lead .base .more').click()")
    assert page.run(f"{text}.clientHeight") > before
    assert page.run(f"{text}.scrollHeight <= {text}.clientHeight") is True


def test_copying_a_path_puts_it_on_the_clipboard(page: Page, file: Path) -> None:
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.open(file)
    page.run("document.querySelector('.files .copy').click()")
    until(page, "document.querySelector('.files .copy').textContent", "Copied")
    assert page.run("navigator.clipboard.readText()") == "builds/jessy/v1/jessy-v1.gguf"


def test_hostile_text_runs_nothing(page: Page, tmp_path: Path) -> None:
    data = hostile(finished_build())
    page.open(written(tmp_path, data), "#q=" + "%3Cscript%3E", width=390)
    page.run(OPEN_ALL)
    assert page.run("document.querySelectorAll('script, img').length") == 1
    assert page.run("document.querySelector('.asked').textContent") == EVIL


def test_a_page_without_answers_or_losses_works(page: Page, tmp_path: Path) -> None:
    data = finished_build()
    bare = replace(data, comparisons=(), training=replace(data.training, curve=()))
    page.open(written(tmp_path, bare))
    assert page.run("document.querySelector('h1').textContent").split() == ["jessy", "v1"]
