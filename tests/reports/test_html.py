"""The page as text: safe with hostile answers, self-contained, the same bytes for the same data."""

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jessy_build.reports import html
from jessy_build.reports.data import (
    Answer,
    Comparison,
    Count,
    Parity,
    Point,
    ReportData,
    Scores,
    Step,
    Survival,
)

VOID = {"meta", "link", "input", "br", "wbr", "hr", "img"}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}{% raw %}"


class Elements(HTMLParser):
    """Every element with its attributes; an end tag that closes nothing is remembered."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


def hostile(data: ReportData) -> ReportData:
    """The evil text in every place that a user, a model or a file name can fill."""
    answer = Answer(EVIL, 9, 0.5, True)
    return replace(
        data,
        name=EVIL,
        version=EVIL,
        description=EVIL,
        base=replace(data.base, source=EVIL, sha256=EVIL, name=EVIL, license=EVIL),
        dataset=replace(data.dataset, counts=(Count(EVIL, EVIL, EVIL, 3),)),
        training=replace(data.training, settings=((EVIL, EVIL),)),
        comparisons=(Comparison(EVIL, EVIL, EVIL, False, answer, answer),),
        steps=(Step(EVIL, 1.0, True),),
        files=(replace(data.files[0], path=EVIL, sha256=EVIL),),
        machine=replace(data.machine, cpu=EVIL, blas=EVIL, versions=((EVIL, EVIL),)),
        recipe=EVIL,
        recipe_path=EVIL,
        modelfile=EVIL,
        asked_how=EVIL,
    )


def test_the_page_is_well_formed(finished: ReportData) -> None:
    elements = Elements(html.render(finished))
    assert elements.wrong == [] and elements.open == []
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_hostile_text_adds_no_element(finished: ReportData) -> None:
    page = html.render(hostile(finished))
    elements = Elements(page)
    assert elements.wrong == [] and elements.open == []
    assert len(elements.named("script")) == 1 and elements.named("img") == []
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    assert "{{ 7*7 }}{% raw %}" in page


def test_the_policy_allows_only_this_style_and_this_script(finished: ReportData) -> None:
    page = html.render(finished)
    policies = [
        attributes["content"]
        for attributes in Elements(page).named("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in str(policies[0])
    assert "default-src 'none'" in str(policies[0]) and "unsafe" not in str(policies[0])


def test_no_attribute_leads_to_the_network(finished: ReportData) -> None:
    elements = Elements(html.render(finished))
    links = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "action", "srcset", "data", "poster") and value
    ]
    assert links and all(link.startswith("data:image/svg+xml,") for link in links)
    assert "@import" not in html.render(finished) and "url(" not in html.render(finished)


def test_no_element_carries_a_style_the_policy_would_refuse(finished: ReportData) -> None:
    assert not [tag for tag, attrs in Elements(html.render(finished)).found if "style" in attrs]


def test_equal_data_give_equal_bytes(finished: ReportData) -> None:
    from tests.reports.conftest import finished_build

    assert html.render(finished) == html.render(finished_build())


def test_a_page_of_a_dozen_prompts_stays_small(finished: ReportData) -> None:
    assert len(html.render(finished).encode()) < 120_000


def test_headers_tables_and_pictures_speak_to_screen_readers(finished: ReportData) -> None:
    elements = Elements(html.render(finished))
    assert all("scope" in attributes for attributes in elements.named("th"))
    for picture in elements.named("svg"):
        assert {"aria-hidden", "aria-label", "aria-labelledby"} & picture.keys()
    assert elements.named("html") == [{"lang": "en"}]
    controls = {a["id"] for n in ("input", "select") for a in elements.named(n)}
    assert {a["for"] for a in elements.named("label")} == controls


def test_answers_carry_their_language_and_mixed_is_none(finished: ReportData) -> None:
    page = html.render(finished)
    assert '<p class="text" dir="auto" lang="tr">Sor bakalım' in page
    assert '<p class="text" dir="auto">Bakıyorum' in page


def test_the_figures_at_the_head_are_the_medians(finished: ReportData) -> None:
    page = re.sub(r"<[^>]+>", "", html.render(finished))
    assert "96 → 9 tokens" in page and "3 → 12 of 12" in page and "4.12 → 2.05" in page
    assert html.filter_summary(finished.comparisons) in page


def test_a_build_without_questions_shows_no_empty_comparison(finished: ReportData) -> None:
    page = html.render(replace(finished, comparisons=()))
    assert 'class="compare"' not in page and 'class="lead"' not in page
    assert "end by themselves" not in page and "validation loss" in page


def test_a_training_without_a_finite_loss_says_so(finished: ReportData) -> None:
    points = (Point(1, 0.1, math.nan), Point(2, 0.2, math.inf, math.nan))
    page = html.render(replace(finished, training=replace(finished.training, curve=points)))
    assert "No loss was recorded." in page and ">nan<" not in page


def test_a_diverged_point_is_left_out_of_the_table(finished: ReportData) -> None:
    points = (Point(1, 0.1, 2.0, math.nan, math.inf), Point(2, 0.2, math.nan, 3.0))
    page = html.render(replace(finished, training=replace(finished.training, curve=points)))
    assert "nan" not in page and "inf<" not in page


@pytest.mark.parametrize(
    "text", ["\ud83d half an emoji", "nul \x00 bell \x07", "", "\u202egnp.exe"]
)
def test_any_answer_of_a_small_model_can_be_shown(finished: ReportData, text: str) -> None:
    row = replace(finished.comparisons[0], tuned=Answer(text, 3, 0.1, True))
    page = html.render(replace(finished, comparisons=(row,)))
    assert not set(page) & set("\x00\x07\ud83d")
    page.encode("utf-8")


def test_rows_without_language_or_level_are_still_counted(finished: ReportData) -> None:
    counts = (Count("talk", "", "", 5), Count("talk", "tr", "low", 5))
    page = html.render(replace(finished, dataset=replace(finished.dataset, counts=counts)))
    assert page.count("title>talk, not set: 5 rows") == 1


def test_a_base_without_a_name_is_known_by_the_end_of_its_source(finished: ReportData) -> None:
    page = html.render(replace(finished, base=replace(finished.base, name="")))
    assert "SmolLM2-135M-Instruct.Q4_1, 135 M parameters" in page


def test_a_judges_scores_stand_in_a_table_by_category(finished: ReportData) -> None:
    assert "What a judge gave" not in html.render(finished)
    mean = (Scores("all rows", (4.25, None)), Scores("<talk>", (3.5, 5.0)))
    judged = replace(finished.dataset, criteria=("naturalness", "warmth"), scores=mean)
    page = html.render(replace(finished, dataset=judged))
    table = page[page.index("What a judge gave") :]
    table = table[: table.index("</table>")]
    assert re.findall(r"<td>(.*?)</td>", table)[0] == "4.25"
    assert re.findall(r"<td>(.*?)</td>", table)[2:] == ["3.50", "5.00"]
    assert ">naturalness<" in table and "&lt;talk&gt;" in table


def test_what_was_rejected_stands_by_rule_with_the_warnings(finished: ReportData) -> None:
    page = html.render(finished)
    assert "<b>3</b> more rows were rejected, by rule: language 1, words 2." in page
    assert "<li>give_aways: of &#39;low&#39; 96 % end" in page
    clean = replace(finished.dataset, rejected=0, by_rule=(), warnings=())
    clear = html.render(replace(finished, dataset=clean))
    assert "rejected" not in clear and "warned" not in clear


def test_a_want_of_memory_in_training_is_told_where_there_was_one(finished: ReportData) -> None:
    words = "Out of memory after step 12: went on with half batches."
    assert words in html.render(finished)
    calm = replace(finished, training=replace(finished.training, halved=""))
    assert "memory after" not in html.render(calm)


def test_smaller_kinds_stand_below_the_base_and_the_trained_model(finished: ReportData) -> None:
    lines = [
        Survival("base", 12, 0, 3, 4, 32, 0.0, False),
        Survival("f16", 12, 12, 12, 12, 7, 1.0, True),
        Survival("q4_K_M", 12, 2, 5, 11, 29, 0.69, False),
        Survival("q8_0", 12, 11, 12, 12, 7, 0.98, True),
    ]
    parity = Parity("f16", 30, 12, 0.002, 0.1, smaller=tuple(lines[2:]), measures=tuple(lines[:2]))
    assert _smaller(finished, parity) == [
        ("base", "0 of 12", "not trained"),
        ("f16", "12 of 12", "as trained"),
        ("q4_K_M", "2 of 12", "erased"),
        ("q8_0", "11 of 12", "good enough"),
    ]
    assert _smaller(finished, replace(parity, measures=()))[0] == ("q4_K_M", "2 of 12", "erased")
    assert _smaller(finished, replace(parity, smaller=())) == []


def _smaller(data: ReportData, parity: Parity) -> list[tuple[str, str, str]]:
    page = html.render(replace(data, parity=parity))
    table = page.partition("What smaller weights keep")[2].partition("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    return [(row[0], row[1], row[-1]) for row in rows]
