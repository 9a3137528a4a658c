"""The review's page in a real browser, with real keys and a real file behind it."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jessy_build.example import Message
from jessy_build.recipe import review as reviews
from jessy_build.steps.review import Desk, Flag, Row
from jessy_build.steps.review_server import Server
from tests.reports.browser import Page, chromium, until
from tests.reports.test_html_in_chromium import CONTRASTS
from tests.required import missing
from tests.steps.project import SIGINT, Project

EVIL = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
MANY = 17_000
CHOSEN = "document.querySelector('#list [aria-selected=true] .asked')?.textContent ?? ''"
ASKED = "[...document.querySelectorAll('#list .asked')].map((e) => e.textContent)"
PROGRESS = "document.getElementById('progress').textContent"
TEXTS = "[...document.querySelectorAll('#messages .text')].map((e) => e.textContent)"


def row(number: int, **other: object) -> Row:
    messages = (
        Message("user", f"soru {number}"),
        Message("assistant", f"Cevap {number}: " + "bir iki üç " * (number % 7)),
    )
    known = {
        "number": number,
        "id": f"{number:016x}",
        "text": reviews.text_of(messages),
        "category": ("smalltalk", "technical")[number % 2],
        "topic": "greetings",
        "language": ("tr", "en", "mixed")[number % 3],
        "level": ("low", "high")[number % 2],
        "messages": messages,
        "teacher": "claude",
        "source": f"rows.jsonl:{number + 1}",
        "flags": (Flag("words", "warning", "an answer has 3 words"),) if number % 10 == 4 else (),
    }
    return Row(**{**known, **other})  # type: ignore[arg-type]


def wild() -> list[Row]:
    """Among plain ones: what is long, has many turns, or would do harm."""
    long = (Message("user", "uzun " * 400), Message("assistant", "kelime " * 3000 + "x" * 900))
    turns = tuple(Message(("user", "assistant")[n % 2], f"tur {n}\n\nsatır") for n in range(12))
    evil = (Message("system", EVIL), Message("user", EVIL), Message("assistant", EVIL))
    error = Flag(EVIL, "error", EVIL)
    return [
        row(0),
        *(
            row(n, messages=said, text=reviews.text_of(said), flags=(error,), topic=EVIL)
            for n, said in enumerate((long, turns, evil), 1)
        ),
        *(row(n) for n in range(4, 12)),
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        if found is None:
            missing("chromium", "no Chromium is installed here")
        yield found


Serve = Callable[[list[Row]], Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(rows: list[Row]) -> Server:
        desk = Desk(rows, tmp_path / "recipe.yaml", tmp_path / "lock")
        server = Server(desk, {"name": "jessy", "version": "v1"})
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join(10)


@pytest.fixture(autouse=True)
def silence(page: Page) -> Iterator[None]:
    """No test may leave a console error, a refused style or script, or a request to elsewhere."""
    page.errors.clear()
    page.asked.clear()
    yield
    assert page.errors == []
    assert len({url.split("/")[2] for url in page.asked if url.startswith("http")}) <= 1


def opened(page: Page, server: Server, fragment: str = "", **how: int) -> None:
    page.visit(server.url + fragment, **how)
    until(page, "document.activeElement.id", "list")


def decided(server: Server) -> dict[str, str]:
    """By id, as the file has it."""
    found = reviews.read(server.desk.file.with_name("recipe.yaml"))
    assert found.problems == ()
    return {id: one.decision for (id, _), one in found.decisions.items()}


def ids(*numbers: int) -> list[str]:
    return [f"{number:016x}" for number in numbers]


def test_one_key_a_decision_and_the_next_one_comes(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(8)])
    opened(page, server)
    assert page.run(CHOSEN) == "soru 0"
    for key in "arar":
        page.press(key)
    until(page, PROGRESS, "4 of 8 decided · 2 accepted, 2 rejected")
    assert page.run(CHOSEN) == "soru 4"
    assert decided(server) == dict(zip(ids(0, 1, 2, 3), ["accept", "reject"] * 2, strict=True))


def test_keys_move_and_take_back(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(5)])
    opened(page, server)
    for key, chosen in (("j", 1), ("ArrowDown", 2), ("k", 1), ("ArrowUp", 0), ("k", 0)):
        page.press(key)
        assert page.run(CHOSEN) == f"soru {chosen}"
    page.press("r")
    until(page, PROGRESS, "1 of 5 decided · 1 rejected")
    page.press("k")
    page.press("u")
    until(page, PROGRESS, "0 of 5 decided")
    page.press("a")
    until(page, PROGRESS, "1 of 5 decided · 1 accepted")
    page.press("j")
    page.press("z")
    until(page, PROGRESS, "0 of 5 decided")
    until(page, CHOSEN, "soru 0")
    assert decided(server) == {}


def test_an_edit_is_typed_and_kept(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(3)])
    opened(page, server)
    page.press("e")
    assert page.run("document.activeElement.value") == "Cevap 0: "
    page.type("İyiyim, sen?")
    page.press("Enter", modifiers=2)
    until(page, PROGRESS, "1 of 3 decided · 1 edited")
    page.press("k")
    assert page.run(TEXTS) == ["soru 0", "Cevap 0: İyiyim, sen?"]
    assert page.run("document.querySelector('.was').textContent") == "Cevap 0: "
    (one,) = reviews.read(server.desk.file.with_name("recipe.yaml")).decisions.values()
    assert one.messages[1].content == "Cevap 0: İyiyim, sen?"


def test_letters_typed_into_an_edit_or_a_search_decide_nothing(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(3)])
    opened(page, server)
    page.press("e")
    for key in "arju":
        page.press(key)
    page.press("Escape")
    assert page.run(TEXTS)[1] == "Cevap 0: ", "Esc drops what was typed"
    page.press("/")
    for key in "ar":
        page.press(key)
    assert page.run("document.getElementById('q').value") == "ar"
    until(page, "document.getElementById('empty').hidden", False)
    page.press("a", modifiers=2)
    page.press("Escape")
    assert decided(server) == {}


def test_an_empty_message_is_refused_and_what_was_typed_stays(page: Page, serve: Serve) -> None:
    server = serve([row(0)])
    opened(page, server)
    page.press("e")
    page.run("document.activeElement.value = ' '")
    page.press("Enter", modifiers=2)
    until(page, "document.getElementById('alert').hidden", False)
    assert page.run("document.querySelectorAll('textarea').length") == 2
    assert decided(server) == {}


def test_the_mouse_does_the_same(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(5)])
    opened(page, server)
    page.click("#list li:nth-child(3)")
    assert page.run(CHOSEN) == "soru 2"
    page.click("[data-do=reject]")
    until(page, PROGRESS, "1 of 5 decided · 1 rejected")
    page.click("#list li:nth-child(3)")
    page.click("[data-do=open]")
    until(page, PROGRESS, "0 of 5 decided")
    page.click("[data-do=edit]")
    page.type("!")
    page.click("[data-do=save]")
    until(page, PROGRESS, "1 of 5 decided · 1 edited")
    assert decided(server) == {ids(2)[0]: "edit"}


def test_filters_narrow_the_list_and_stand_in_the_address(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(30)])
    opened(page, server)
    page.press("/")
    page.type("CEVAP 23:")
    until(page, ASKED, ["soru 23"])
    assert page.run("document.getElementById('total').textContent") == "1 example"
    assert page.run("location.hash") == "#q=CEVAP+23%3A"
    opened(page, server, "#category=smalltalk&language=tr&rule=any")
    until(page, ASKED, ["soru 24"])
    flagged = "document.querySelector('#notes .warning').textContent"
    assert page.run(flagged) == "words: an answer has 3 words"


def test_a_decision_under_a_filter_leaves_the_list_in_place(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(200)])
    opened(page, server, "#decision=open")
    for _ in range(80):
        page.press("a")
    until(page, PROGRESS, "80 of 200 decided · 80 accepted")
    until(page, CHOSEN, "soru 80")
    assert set(decided(server)) == set(ids(*range(80))), "none was passed over at a page's end"


def test_seventeen_thousand_are_fetched_as_they_are_reached(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(MANY)])
    opened(page, server)
    assert page.run("document.getElementById('total').textContent") == "17,000 examples"
    assert page.run("document.querySelectorAll('#list li').length") < 300
    down = "document.getElementById('pane').scrollTop = 1e9"
    until(page, f"({down}, document.querySelectorAll('#list li').length > 240)", True)
    page.press("/")
    page.type("cevap 16999:")
    until(page, ASKED, ["soru 16999"])
    page.press("Enter")
    page.press("r")
    until(page, PROGRESS, "1 of 17,000 decided · 1 rejected")
    assert decided(server) == {ids(16_999)[0]: "reject"}


def test_from_the_key_to_the_data_set_and_after_the_end(
    page: Page, tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    build = ("build", "recipe.yaml", "--until", "assemble")
    assert project.run(*build).code == 0
    process = project.start("review", "recipe.yaml", "--json")
    assert process.stdout
    page.visit(json.loads(process.stdout.readline())["url"])
    until(page, "document.activeElement.id", "list")
    page.press("r")
    until(page, PROGRESS, "1 of 24 decided · 1 rejected")
    done = project.run(*build)
    assert done.ran == ["validate", "assemble"] and "23 rows, 1 rejected" in done.out
    process.send_signal(SIGINT)
    assert process.wait(timeout=30) == 0
    page.press("a")
    until(page, "document.getElementById('alert').textContent.slice(0, 20)", "The review has ended")
    page.errors.clear()  # the browser notes that nobody answers


def test_a_review_that_cannot_be_written_is_told_on_the_page(page: Page, serve: Serve) -> None:
    server = serve([row(n) for n in range(3)])
    opened(page, server)
    server.desk.file.write_text("<<<<<<< HEAD\n")
    page.press("a")
    until(page, "document.getElementById('alert').hidden", False)
    said = page.run("document.getElementById('alert').textContent")
    assert "recipe.review.jsonl:1 has to be mended first" in said
    assert server.desk.file.read_text() == "<<<<<<< HEAD\n"
    page.errors.clear()  # the browser notes the 409


@pytest.mark.parametrize("width", [320, 390, 760, 1000, 1600])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_window_and_all_text_stands_out(
    page: Page, serve: Serve, width: int, dark: bool
) -> None:
    server = serve(wild())
    opened(page, server, width=width, dark=dark)
    for key in ("a", "r", "?"):
        page.press(key)
    until(page, PROGRESS, "2 of 12 decided · 1 accepted, 1 rejected")
    for _ in range(4):
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.run("document.documentElement.scrollHeight") <= 900, "the panes scroll"
        assert page.run(CONTRASTS.replace("main *, footer *", "body *")) == []
        page.press("k")
    page.press("e")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(CONTRASTS.replace("main *, footer *", "body *")) == []


def test_hostile_text_runs_nothing(page: Page, serve: Serve) -> None:
    server = serve(wild())
    opened(page, server)
    for _ in range(3):
        page.press("j")
    assert page.run(TEXTS) == [EVIL] * 3
    assert page.run("window.hurt ?? 0") == 0
    assert page.run("document.querySelectorAll('script, img').length") == 1
