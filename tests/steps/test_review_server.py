"""The review's server: for the page itself alone, whatever else in the browser tries."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from jessy_build.engine import locks
from jessy_build.example import Message
from jessy_build.recipe import review as reviews
from jessy_build.steps import review
from jessy_build.steps.review import Desk, Opened, Row
from jessy_build.steps.review_server import MOST_BYTES, Server
from tests.steps.project import SIGINT, Project

MESSAGES = (Message("user", "selam"), Message("assistant", "Selam kanka!"))


def rows(count: int = 3) -> list[Row]:
    return [
        Row(
            number=n,
            id=f"{n:016x}",
            text=reviews.text_of(MESSAGES),
            category="talk",
            topic="talk",
            language="tr",
            level="low",
            messages=MESSAGES,
            teacher="curated",
            source=f"rows.jsonl:{n + 1}",
            flags=(),
        )
        for n in range(count)
    ]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    desk = Desk(rows(), tmp_path / "recipe.yaml", tmp_path / "lock")
    server = Server(desk, {"name": "judged", "version": "v1"})
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.stop()
    thread.join(10)


def ask(
    server: Server, method: str, place: str, body: Any = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """As a browser would, but for what the test changes; `_` in a header stands for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    said: dict[str, str] = {"Host": f"127.0.0.1:{server.port}"}
    data = None
    if method == "POST":
        said |= {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{server.port}"}
        data = body if isinstance(body, str) else json.dumps(body)
        said["Content-Length"] = str(len(data))
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, place, skip_host=True, skip_accept_encoding=True)
    for name, value in said.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(data.encode() if data else None)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text, {name.lower(): value for name, value in response.getheaders()}


def decision(row: Row, word: str = "reject") -> dict[str, str]:
    return {"id": row.id, "text": row.text, "decision": word}


def decide_at(server: Server) -> str:
    return f"/{server.token}/decide"


def test_with_the_token_the_page_comes_and_asks_nothing_of_others(running: Server) -> None:
    status, page, headers = ask(running, "GET", f"/{running.token}/")
    assert status == 200 and "<title>Review</title>" in page
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer", "the address holds the token"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]
    for file in ("review.css", "review.js"):
        text = ask(running, "GET", f"/{running.token}/{file}")[1]
        for outside in ("http://", "https://", "//cdn", "@import", "url("):
            assert outside not in page + text


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/rows", "//rows", "/{}./", "/{}", "/%C3%A7/", "/../{}./rows"]
)
def test_without_the_token_nothing_is_here(path: str, running: Server) -> None:
    # A dot, since no token has one: with a letter, one token in 64 would be the right one.
    status, text, _ = ask(running, "GET", path.format(running.token[:-1]))
    assert (status, text) == (404, "nothing is here\n")


@pytest.mark.parametrize("place", ["../../../etc/passwd", "report.css", "review.html", "rows/x"])
def test_with_the_token_only_what_the_page_needs_is_here(place: str, running: Server) -> None:
    assert ask(running, "GET", f"/{running.token}/{place}")[0] == 404


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:{}", "127.0.0.1", "[::1]:{}"])
def test_a_name_that_somebody_points_at_this_machine_is_refused(host: str, running: Server) -> None:
    named = host.format(running.port)
    assert ask(running, "GET", f"/{running.token}/rows", Host=named)[0] == 403
    status, _, _ = ask(running, "POST", decide_at(running), decision(rows()[0]), Host=named)
    assert status == 403 and not running.desk.file.exists()


def test_localhost_is_this_machine_too(running: Server) -> None:
    assert ask(running, "GET", f"/{running.token}/", Host=f"localhost:{running.port}")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        # What a form of another page can send without asking first.
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Length": str(MOST_BYTES + 1)}, 413),
        ({"Content_Length": "-5"}, 413),
        ({"Content_Length": "many"}, 400),
    ],
)
def test_what_other_pages_could_send_decides_nothing(
    headers: dict[str, str], status: int, running: Server
) -> None:
    assert ask(running, "POST", decide_at(running), decision(rows()[0]), **headers)[0] == status
    assert not running.desk.file.exists()


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "HEAD"])
def test_no_other_method_is_heard(method: str, running: Server) -> None:
    status, _, headers = ask(running, method, f"/{running.token}/")
    assert status == 501
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[" * 100_000, 400),
        ([], 400),
        ({}, 400),
        ({"id": 1, "text": 2, "decision": 3}, 400),
        (decision(rows()[0], "maybe"), 409),
        (decision(rows()[0], "edit"), 409),
        ({**decision(rows()[0]), "id": "no such"}, 409),
        ({**decision(rows()[0], "edit"), "messages": ["selam", "\ud800"]}, 409),
    ],
)
def test_a_decision_that_is_none_is_refused_in_words(
    body: Any, status: int, running: Server
) -> None:
    got, text, _ = ask(running, "POST", decide_at(running), body)
    assert got == status and text and "Traceback" not in text
    assert not running.desk.file.exists()


def test_a_decision_is_in_the_file_before_the_answer_comes(running: Server) -> None:
    status, text, _ = ask(running, "POST", decide_at(running), decision(rows()[1], "accept"))
    assert status == 200 and json.loads(text)["counts"]["accept"] == 1
    (found,) = reviews.read(running.desk.file.with_name("recipe.yaml")).decisions.values()
    assert (found.id, found.decision) == (rows()[1].id, "accept")


def test_a_folder_that_cannot_be_written_is_told(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.desk.file.mkdir()
    status, text, _ = ask(running, "POST", decide_at(running), decision(rows()[1]))
    assert status == 409 and "recipe.review.jsonl" in json.loads(text)["problem"]


def test_each_review_has_a_token_of_its_own(tmp_path: Path) -> None:
    desk = Desk(rows(), tmp_path / "recipe.yaml", tmp_path / "lock")
    servers = [Server(desk, {}) for _ in range(3)]
    assert len({server.token for server in servers}) == 3
    assert all(len(server.token) >= 32 for server in servers)
    assert all(server._http.server_address[0] == "127.0.0.1" for server in servers)
    for server in servers:
        server._http.server_close()


def test_what_others_read_on_the_browsers_command_line_leads_here_once(running: Server) -> None:
    once = "/" + running.url_once.split("/")[3]
    assert once != f"/{running.token}"
    assert ask(running, "GET", f"{once}/", Host="evil.example")[0] == 403
    assert ask(running, "POST", f"{once}/decide", decision(rows()[0]))[0] == 404
    status, _, headers = ask(running, "GET", f"{once}/")
    assert (status, headers["location"]) == (303, f"/{running.token}/")
    assert ask(running, "GET", f"{once}/")[0] == 404
    assert ask(running, "GET", "//")[0] == 404


# The command


def test_the_command_tells_the_address_and_ends_well_with_ctrl_c(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    assert project.run("build", "recipe.yaml", "--until", "validate").code == 0
    done = project.interrupt_when(
        ("review", "recipe.yaml", "--no-open"), "Ctrl-C ends the review", SIGINT
    )
    assert (done.code, done.err) == (0, ""), done.out + done.err
    assert "tiny v1: 24 examples, 0 decided" in done.out and "http://127.0.0.1:" in done.out
    assert "They count in the next build: just build recipe.yaml" in done.out


def test_with_json_it_is_one_document_that_a_script_can_use(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    assert project.run("build", "recipe.yaml", "--until", "validate").code == 0
    process = project.start("review", "recipe.yaml", "--json")
    try:
        assert process.stdout
        opened = TypeAdapter(Opened).validate_json(process.stdout.readline())
        assert (opened.rows, opened.decided) == (24, 0)
        host, _, path = opened.url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", f"/{path}rows?count=2")
        page = json.loads(connection.getresponse().read())
        connection.close()
        assert page["total"] == 24 and len(page["rows"]) == 2
    finally:
        process.send_signal(SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_decision_while_another_review_writes_is_refused_in_words(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "PATIENCE", 0.1)
    wanted = {"id": f"{0:016x}", "text": reviews.text_of(MESSAGES), "decision": "accept"}
    with locks.hold(tmp_path / "lock"):
        status, body, _ = ask(running, "POST", f"/{running.token}/decide", wanted)
    assert status == 409 and "another review is writing" in json.loads(body)["problem"]
    assert ask(running, "POST", f"/{running.token}/decide", wanted)[0] == 200
