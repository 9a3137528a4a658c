"""preview: what a teacher would be asked, and what it answers, before a build pays for it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from jessy_build.steps import schemas
from jessy_build.steps.items import Cell, Questions
from jessy_build.steps.preview import Document, short, spread
from jessy_build.teachers import example_schema
from tests.loopback import messages_api
from tests.loopback.server import Loopback, Slow
from tests.steps.project import Project, Ran

RECIPE = """\
recipe: 1
name: looked
version: v1
base: {model: "path:base"}
persona: {name: JESSY, system: system.j2}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    max_tokens: 100
    prices: {input: 1000, output: 5000, as_of: 2026-11-01}
  curated: {kind: curated, files: [rows.jsonl]}
categories:
  talk:
    teacher: claude
    count: 12
    prompt: ask.j2
    topics: {greetings: 6, thanks: 6}
    languages: {en: 6, tr: 6}
    complexity: {low: 1}
  deep: {teacher: claude, count: 8, prompt: deep.j2, languages: {en: 1}, complexity: {low: 1}}
  smalltalk: {teacher: curated, count: all}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
BUILD = ("build", "recipe.yaml", "--until", "validate")
ROWS = 20
"""What the teacher is asked for in all: 12 for `talk`, 8 for `deep`."""


def make(root: Path, server: Loopback) -> Project:
    row = {"user": "hello", "assistant": "hi!", "language": "en", "complexity": "low"}
    (root / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return Project.asking(
        root,
        server.url,
        RECIPE,
        ask="A line in {{ language_name }} about {{ topic.name }}, number {{ ordinal }}.",
        deep="Something deep, number {{ ordinal }}.",
        system="You are {{ persona.name }}.",
    )


def previewed(project: Project, *words: str, code: int = 0, **env: str) -> dict[str, Any]:
    done = project.run("preview", "recipe.yaml", *words, "--json", **env)
    assert (done.code, done.err) == (code, ""), done.out + done.err
    assert len(done.out.splitlines()) == 1
    document: dict[str, Any] = json.loads(done.out)
    return document


def prompts(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [prompt for category in document["categories"] for prompt in category["prompts"]]


def asked(server: Loopback) -> list[str]:
    return [seen.body["messages"][-1]["content"] for seen in server.seen]


def good(done: Ran) -> Ran:
    assert done.code == 0, done.out + done.err
    return done


def test_without_ask_no_teacher_hears_of_it(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    project.env = {}  # neither a key nor an address
    done = good(project.run("preview", "recipe.yaml", "-n", "2"))
    assert server.count == 0
    assert "talk: 2 of 12 items in 4 cells, asked from claude (claude-haiku-5-5)" in done.out
    assert "You are JESSY." in done.out
    assert "A line in English about" in done.out and "A line in Turkish about" in done.out
    assert "{user: string, assistant: string}" in done.out
    assert "smalltalk: 1 rows out of files, no teacher is asked" in done.out
    assert "--ask" in done.out.splitlines()[-1]


def test_each_prompt_is_told_as_it_is_sent(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    told = prompts(previewed(project, "-n", "3"))
    assert len(told) == 6
    good(project.run(*BUILD))
    sent = {seen.body["messages"][-1]["content"]: seen.body for seen in server.seen}
    for prompt in told:
        system, message = prompt["messages"]
        body = sent[message["content"]]
        assert system == {"role": "system", "content": body["system"]}
        assert prompt["max_tokens"] == body["max_tokens"] == 100
        # Prices of $1000 and $5000 per million: 100 tokens out are $0.5, and what is sent costs too
        assert 1 < prompt["usd_at_most"] < 8


def test_they_lie_far_apart_and_not_all_in_the_first_cell(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    document = previewed(make(tmp_path, server), "talk", "-n", "2")
    (first, second) = prompts(document)
    assert first["topic"] != second["topic"] and first["language"] != second["language"]
    four = prompts(previewed(make_again(tmp_path), "talk", "-n", "4"))
    assert len({(p["topic"], p["language"]) for p in four}) == 4
    assert {p["slot"] for p in four} >= {first["slot"], second["slot"]}


def make_again(root: Path) -> Project:
    return Project(root)


def test_what_it_asks_the_build_does_not_ask_again(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    document = previewed(project, "-n", "3", "--ask")
    assert document["asked"] == server.count == 6
    answers = [prompt["answer"] for prompt in prompts(document)]
    assert all(answer["usable"] and answer["new"] and answer["tries"] == 1 for answer in answers)
    assert answers[0]["messages"][1]["content"].startswith("cevap: ")
    good(project.run(*BUILD))
    assert server.count == ROWS, "the build asks six fewer"
    assert len(set(asked(server))) == ROWS, "and nothing twice"


def test_a_second_look_costs_nothing_and_more_of_them_only_the_rest(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    first = previewed(project, "talk", "-n", "2", "--ask")
    again = previewed(project, "talk", "-n", "2", "--ask")
    assert (first["asked"], again["asked"], server.count) == (2, 0, 2)
    assert not any(prompt["answer"]["new"] for prompt in prompts(again))
    assert previewed(project, "talk", "-n", "5", "--ask")["asked"] == 3
    # And to look at what is there needs nobody.
    project.env = {}
    assert all(prompt["answer"]["usable"] for prompt in prompts(previewed(project, "talk")))
    assert server.count == 5


def test_after_a_build_every_answer_is_there(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    good(project.run(*BUILD))
    document = previewed(project, "-n", "4", "--ask")
    assert document["asked"] == 0 and server.count == ROWS
    assert all(prompt["answer"]["usable"] for prompt in prompts(document))


def test_an_answer_that_cannot_be_used_is_shown_with_the_reason(tmp_path: Path) -> None:
    class Rambling(messages_api.MessagesServer):
        def usual(self, seen: Any) -> Any:
            return messages_api.said("Sure! Here is one:")

    with Rambling() as server:
        project = make(tmp_path, server)
        document = previewed(project, "deep", "-n", "1", "--ask")
        (prompt,) = prompts(document)
        assert prompt["answer"]["text"] == "Sure! Here is one:"
        assert not prompt["answer"]["usable"] and "JSON" in prompt["answer"]["problem"]
        assert document["asked"] == server.count == 6, "each with a correction"
        assert prompt["answer"]["tries"] == 3
        done = good(project.run("preview", "recipe.yaml", "deep", "-n", "1"))
        assert "not usable:" in done.out and "Sure! Here is one:" in done.out


def test_the_budget_holds_here_too(tmp_path: Path) -> None:
    with messages_api.MessagesServer() as server:
        project = make(tmp_path, server)
        document = previewed(project, "-n", "3", "--ask", "--max-usd", "0.5", code=5)
        assert server.count == document["asked"] == 0, "one answer could cost more than that"
        assert {told["category"] for told in document["problems"]} == {"talk", "deep"}
        done = project.run("preview", "recipe.yaml", "--ask", "--max-usd", "0.5")
        assert done.code == 5 and "the budget is reached" in done.err


def test_a_refused_key_ends_it_with_1_and_still_shows_the_prompts(tmp_path: Path) -> None:
    class Closed(messages_api.MessagesServer):
        def usual(self, seen: Any) -> Any:
            return messages_api.error(401, "authentication_error", "no")

    with Closed() as server:
        document = previewed(make(tmp_path, server), "deep", "--ask", code=1)
        assert "does not accept the key" in document["problems"][0]["problem"]
        assert len(prompts(document)) == 3


def test_status_tells_what_a_preview_has_spent_and_why_still_tells_of_the_build(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    good(project.run(*BUILD))
    (project.root / "system.j2").write_text("You are JESSY, a friend.")
    previewed(project, "talk", "-n", "2", "--ask")
    status = json.loads(good(project.run("status", "recipe.yaml", "--json")).out)
    assert [build["status"] for build in status["builds"]] == ["previewed", "done"]
    assert status["builds"][0]["spent"]["requests"] == 2
    assert status["spent"]["requests"] == ROWS + 2
    why = json.loads(good(project.run("why", "recipe.yaml", "--json")).out)
    # Three of them began at once.
    assert {chain["step"] for chain in why["steps"]} == {
        *("generate:talk", "generate:deep", "generate:smalltalk", "validate")
    }


def test_a_preview_beside_a_build_waits_for_the_answers_that_are_on_their_way(
    tmp_path: Path,
) -> None:
    class Slowly(messages_api.MessagesServer):
        def usual(self, seen: Any) -> Any:
            return Slow(0.3, super().usual(seen))

    with Slowly() as server:
        project = make(tmp_path, server)
        build = project.start(*BUILD)
        while server.count < 8:
            assert build.poll() is None
        document = previewed(project, "-n", "4", "--ask")
        build.communicate(timeout=120)
        assert build.returncode == 0
        assert all(prompt["answer"]["usable"] for prompt in prompts(document))
        assert server.count == len(set(asked(server))) == ROWS, "no question was paid twice"


def test_to_ask_where_no_teacher_is_asked_is_no_build(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = make(tmp_path, server)
    done = good(project.run("preview", "recipe.yaml", "smalltalk", "--ask"))
    assert "No teacher is asked" in done.out
    assert json.loads(project.run("status", "recipe.yaml", "--json").out)["builds"] == []


@pytest.mark.parametrize("words", [["talkk"], ["-n", "0"], ["-n", "x"]])
def test_words_that_mean_nothing_are_refused(
    words: list[str], tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    done = make(tmp_path, server).run("preview", "recipe.yaml", *words)
    assert done.code == 2 and done.out == "" and done.err
    assert words != ["talkk"] or "did you mean 'talk'" in done.err


def test_a_printed_preview_fits_its_schema(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    document = previewed(make(tmp_path, server), "-n", "1", "--ask")
    TypeAdapter(Document).validate_json(json.dumps(document))
    schema = json.loads(schemas.SCHEMAS["preview"]())
    assert schema["properties"].keys() == document.keys()
    shapes = schema["$defs"]
    assert shapes["Category"]["properties"].keys() == document["categories"][0].keys()
    prompt = prompts(document)[0]
    assert shapes["Prompt"]["properties"].keys() == prompt.keys()
    assert shapes["Answered"]["properties"].keys() == prompt["answer"].keys()


# Which items


def questions(*rows: int) -> Questions:
    names = [(t, la, le) for t in "abcd" for la in ("en", "tr") for le in ("low", "high")]
    cells = [Cell(*name, n, ("s",), (0,)) for name, n in zip(names, rows, strict=False)]
    return Questions("talk", tuple(cells), lambda cell, n: None, lambda cell, n: 1)  # type: ignore[arg-type, return-value]


def chosen(q: Questions) -> set[tuple[str, str, str, int]]:
    return {(c.topic, c.language, c.level, n) for c in q.cells for n in range(c.rows)}


def test_each_step_takes_what_is_least_there() -> None:
    every = questions(*[5] * 16)
    four = chosen(spread(every, 4))
    assert len({topic for topic, _, _, _ in four}) == 4
    assert [sum(language == "tr" for _, language, _, _ in four)] == [2]
    assert len(chosen(spread(every, 16))) == 16 == len(spread(every, 16).cells)


def test_more_begin_with_the_same() -> None:
    every = questions(3, 1, 4, 1, 5, 9, 2, 6)
    sets = [chosen(spread(every, n)) for n in range(1, every.rows + 3)]
    assert all(less <= more for less, more in pairwise(sets))
    assert len(sets[-1]) == every.rows, "never more than there are"


def test_a_schema_in_short_reads_like_an_answer() -> None:
    assert short(example_schema()) == "{user: string, assistant: string}"
    nested = {
        "type": "object",
        "properties": {
            "steps": {"type": "array", "items": {"type": "string"}},
            "mood": {"enum": ["calm", "glad"]},
            "n": {"type": "integer"},
        },
    }
    assert short(nested) == "{steps: [string], mood: calm | glad, n: integer}"
