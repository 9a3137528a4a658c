"""recipes/jessy.yaml as it is shipped, but small: asked on loopback, up to the data set."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.loopback.server import Seen, Step
from tests.steps.project import REPOSITORY, Project

SCALE = "10%"
JUDGE = "claude-sonnet-5-5"
FUNCTION = re.compile(r"(?s)- the function: .*?\n\n(.+)\n\nReply with")
RANGE = re.compile(r"has (\d+) to (\d+) words")
LANGUAGE = re.compile(r"^- .*(?:answer (?:are )?in|language:) (Turkish|English)", re.MULTILINE)
ASKED = (
    *("consciousness", "personality", "code", "pairs", "conversations", "thinking", "navigation"),
    *("next_move", "synesthesia", "context", "adaptive", "complexity"),
)


class Teacher(messages_api.MessagesServer):
    """Answers with as many words, and in the language, that the prompt names: what it does not
    name, it cannot keep. And judges rows, Turkish ones worse."""

    judged: Counter[str]

    def scores(self, asked: str) -> str:
        self.judged[asked] += 1
        names = ("naturalness", "character", "to_the_point", "truth")
        assert all(f"- {name}: " in asked for name in names) and "called JESSY" in asked
        natural = 2 if "which is to be in Turkish." in asked and "budur" in asked else 4
        return json.dumps({"reason": "So so.", **dict.fromkeys(names, 4), "naturalness": natural})

    def usual(self, seen: Seen) -> Step:
        asked = seen.body["messages"][-1]["content"]
        if seen.body["model"] == JUDGE:
            return messages_api.said(self.scores(asked), JUDGE)
        found = RANGE.search(asked)
        least = int(found[1]) if found else 0
        names = seen.body["output_config"]["format"]["schema"]["properties"]
        *_, language = LANGUAGE.findall(asked)
        said = ("this", "answer") if language == "English" else ("cevap", "budur")
        # Of an answer in parts, all of them together are in the range.
        parts = sum(not n.startswith(("user", "assistant")) for n in names) or 1
        words = " ".join(islice(cycle(said), -(-least // parts) + 3))
        texts = {n: f"soru {self.count} {n}" if n.startswith("user") else words for n in names}
        return messages_api.said(json.dumps(texts), seen.body["model"])


@pytest.fixture
def server() -> Iterator[Teacher]:
    with Teacher() as running:
        running.judged = Counter()
        yield running


@pytest.fixture
def project(tmp_path: Path, server: Teacher) -> Project:
    for folder in ("recipes", "prompts"):
        shutil.copytree(
            REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.lock.yaml")
        )
    (tmp_path / "Justfile").touch()
    env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789"}
    return Project(tmp_path, env)


def test_all_of_jessy_becomes_a_data_set(project: Project, server: Teacher) -> None:
    words = ("recipes/jessy.yaml", "--scale", SCALE, "--until", "assemble")
    done = project.run("build", *words)
    assert done.code == 0, done.out + done.err
    rows = [
        json.loads(line)
        for name in ("train", "valid")
        for line in (dataset(project) / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    made = Counter(row["category"] for row in rows if row["category"] in ASKED)
    # None was rejected: each answer was in the range that its prompt named.
    assert sum(made.values()) == server.count
    assert set(made) == set(ASKED)
    assert {row["category"] for row in rows} == {*ASKED, "smalltalk", "questions", "depth"}
    # The system text stands before the turns.
    pairs = {c: {len(r["messages"]) // 2 for r in rows if r["category"] == c} for c in ASKED}
    assert all(row["messages"][0]["role"] == "system" for row in rows)
    assert min(pairs["conversations"]) >= 3 and min(pairs["context"]) >= 2
    assert min(pairs["adaptive"]) >= 2 and pairs["thinking"] == {1}
    written = {
        line.strip()
        for file in (project.root / "recipes/sources").iterdir()
        for line in file.read_text(encoding="utf-8").splitlines()
    }
    prompts = [seen.body["messages"][-1]["content"] for seen in server.seen]
    functions = [found[1] for prompt in prompts if (found := FUNCTION.search(prompt))]
    assert len(functions) == made["code"] > 0
    for function in functions:
        lines = [line.strip() for line in function.splitlines()]
        assert len(lines) > 3 and written.issuperset(lines), "a real one, and all of it"
    assert all(seen.body["system"].startswith("You are JESSY") for seen in server.seen)
    again = project.run("build", *words)
    assert again.code == 0, again.out + again.err
    assert sum(made.values()) == server.count


def test_a_judge_reads_what_jessys_teachers_wrote(project: Project, server: Teacher) -> None:
    scale = ("--scale", SCALE, "--until", "validate")
    assert project.run("build", "recipes/jessy.yaml", *scale).code == 0
    written = server.count
    done = project.run("build", "recipes/jessy-judged.yaml", *scale)
    assert done.code == 0, done.out + done.err
    # The rows are those of the other recipe: none of them is asked for again.
    assert server.count == written + sum(server.judged.values())
    assert set(server.judged.values()) == {1}
    status = project.run("status", "recipes/jessy-judged.yaml", *scale[:2], "--json")
    said = json.loads(status.out)
    assert said["judged"]["rows"] >= len(server.judged) > written
    assert set(said["rejected"]["by_rule"]) == {"judge"}
    assert said["judged"]["by_category"]["smalltalk"]["naturalness"] == 4
    assert 2 < said["judged"]["by_category"]["personality"]["naturalness"] < 4


def dataset(project: Project) -> Path:
    (folder,) = (project.root / "builds/jessy").glob("*/dataset")
    return folder
