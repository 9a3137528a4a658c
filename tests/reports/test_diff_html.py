"""The page of a diff: every section in words, no text of a model alive, silent in a browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jessy_build.plan.diff import (
    Category,
    Cell,
    Cost,
    Diff,
    Field,
    File,
    Items,
    Metric,
    Named,
    Product,
    Sample,
    StepChange,
)
from jessy_build.reports import diff_html
from jessy_build.steps import diff_words
from tests.reports.browser import Page, chromium
from tests.reports.test_html_in_chromium import CONTRASTS, OPEN_ALL, WIDER
from tests.required import missing

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
LONG = "bir_cok_kelime_" * 30


def sample(question: str, old: str | None, new: str | None) -> Sample:
    return Sample("id", question, old, new)


DIFF = Diff(
    format=2,
    left=Named("build:12", "build", "jessy v1"),
    right=Named("recipes/jessy.yaml", "recipe", "jessy v2"),
    same=False,
    notes=("recipes/jessy.yaml has not been built as it stands", EVIL),
    fields=(
        Field("training", "train.lora.rank", 8, 16, "recipes/jessy.yaml:60"),
        Field(
            *("persona & prompts", "categories.technical.prompt", "a.j2", "a.j2", "r.yaml:4"),
            ("  Write one question.", "- Answer in one paragraph.", f"+ {LONG}", EVIL),
        ),
        Field("data", "teachers.curated.files", ["a"], ["a", EVIL], LONG),
    ),
    steps=(StepChange("generate:technical", "changed", "the prompt changed", "run"),),
    shared=4,
    categories=(
        Category(
            *("technical", 20, 30, (Cell("rust", "en", "low", 3, 5), Cell("", "tr", "", 0, 8))),
            Items(
                *("rows that passed validation", 12, 2, 6),
                {
                    "added": (sample(EVIL, None, EVIL), sample(LONG, None, LONG)),
                    "removed": (sample("What is a monad?", "A burrito.", None),),
                    "changed": (sample("rust neden hızlı?", "Çünkü.", "Derlenir, ondan."),),
                },
            ),
        ),
        Category("smalltalk", 40, None, (), None, "the rows are not known here"),
    ),
    artifacts=(Product("adapter", File(4_200_000, "a" * 64), File(8_400_000, "b" * 64)),),
    metrics=(
        Metric("validation loss", "", 1.8234, 1.7011, "better"),
        Metric("median answer", "tokens", 32, 9, "better", -20.4, -25.1, -15.9, 24),
        Metric("answers that end by themselves", "share", 0.96, 0.88, "worse", -0.1, -0.2, 0, 9),
    ),
    cost=(Cost("technical", "dollars", 0.0123, None),),
    served=(Field("served", "parameters.temperature", 0.8, 0.2),),
)


def page_of(diff: Diff) -> str:
    return diff_html.render(diff_words.view(diff))


def test_every_section_is_told_in_words() -> None:
    page = page_of(DIFF)
    for words in (
        *("jessy v1", "8 → 16", "recipes/<wbr>jessy.<wbr>yaml:<wbr>60", "the prompt changed"),
        *("20 → 30 (+10)", "rust · en · low", "– · tr · –", "40 → unknown", "A burrito."),
        *("4.2 MB → 8.4 MB", "32 → 9 tokens", "95 % interval -25.1 to -15.9, 24 prompts"),
        *("$0.0123 → unknown", "0.8 → 0.2", "4 steps are shared"),
    ):
        assert words in page, words


def test_a_section_without_content_is_left_out() -> None:
    page = page_of(Diff(2, DIFF.left, DIFF.right, same=True))
    assert "<h1>The same</h1>" in page and "<section" not in page


def test_what_models_and_users_say_stays_text() -> None:
    page = page_of(DIFF)
    assert "<script" not in page and "<img" not in page
    assert "&lt;/script&gt;" in page


def test_half_a_character_does_not_break_the_page() -> None:
    broken = replace(DIFF, notes=("half \ud83d of it \x00",))
    assert "half" in page_of(broken).encode("utf-8").decode("utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        if found is None:
            missing("chromium", "no Chromium is installed here")
        yield found


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_readable_and_silent(
    browser: Page, tmp_path: Path, width: int, dark: bool
) -> None:
    file = tmp_path / "diff.html"
    file.write_text(page_of(DIFF), encoding="utf-8")
    browser.open(file, width=width, dark=dark)
    browser.run(OPEN_ALL)
    assert browser.run(WIDER) == []
    assert browser.run(CONTRASTS) == []
    assert browser.errors == []
    assert all(address.startswith("file:") for address in browser.asked)
