"""The plan tells the truth: whatever is edited, what it says will run runs, and nothing else does.

A real project on one store, edited at random: fields of every block, templates, rows, topics,
counts, orders and comments, and back again. The plan and the build are those of the command line.
"""

import contextlib
import io
import json
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from jessy_build import cli
from tests.steps import asked
from tests.steps.asked import Teacher

EDITED = 220
BASE: dict[str, Any] = {
    "recipe": 1,
    "name": "edited",
    "version": "v1",
    "base": {"model": "path:base"},
    "persona": {"name": "Ada", "system": "system.j2", "vars": {"mood": "calm"}},
    "teachers": {
        "claude": {"kind": "anthropic", "model": "claude-haiku-5-5", "concurrency": 4},
        "curated": {"kind": "curated", "files": ["rows.jsonl"]},
    },
    "categories": {
        "talk": {
            "teacher": "claude",
            "count": 6,
            "prompt": "ask.j2",
            "languages": {"en": 1},
            "complexity": {"low": 1},
            "topics": {"greetings": 3, "thanks": 3},
        },
        "deep": {
            "teacher": "claude",
            "count": 4,
            "prompt": "deep.j2",
            "languages": {"en": 0.5, "tr": 0.5},
            "complexity": {"low": 1},
        },
        "smalltalk": {"teacher": "curated", "count": "all"},
    },
    "dataset": {"validate": {"duplicates": False}},
    "train": {
        "lora": {"rank": 2, "alpha": 8},
        "steps": 3,
        "batch_size": 4,
        "optimizer": {"learning_rate": 0.01},
    },
    "modelfile": {"parameters": {"temperature": 0.2}},
    "deploy": {"ollama": {"model": "edited"}},
    "evaluate": {"prompts": ["hello"], "max_tokens": 1},
}
FILES = {
    "system.j2": "You are {{ persona.name }}.",
    "ask.j2": "A line about {{ topic.name }}, number {{ ordinal }}.",
    "deep.j2": "Something deep in {{ language }}, number {{ ordinal }}.",
    "rows.jsonl": "".join(
        json.dumps({"user": f"hello number {n}", "assistant": "fine", "language": "en"}) + "\n"
        for n in range(8)
    ),
}


@dataclass
class Doc:
    """A recipe and its files on the way to being written."""

    recipe: dict[str, Any] = field(default_factory=lambda: deepcopy(BASE))
    files: dict[str, str] = field(default_factory=lambda: dict(FILES))
    comment: str = ""

    def write(self, root: Path) -> None:
        text = yaml.safe_dump(self.recipe, sort_keys=False, allow_unicode=True)
        (root / "recipe.yaml").write_text(text + self.comment, encoding="utf-8")
        for name, content in self.files.items():
            (root / name).write_text(content, encoding="utf-8")


Edit = Callable[[Doc, int], None]


def take(path: str, *values: Any) -> Edit:
    """Put one of the values at a path of the recipe; None removes the field."""

    def edit(doc: Doc, number: int) -> None:
        *above, last = path.split(".")
        block = doc.recipe
        for name in above:
            block = block.setdefault(name, {})
        value = values[number % len(values)]
        block.pop(last, None) if value is None else block.__setitem__(last, value)

    return edit


def in_file(name: str, *texts: tuple[str, str]) -> Edit:
    def edit(doc: Doc, number: int) -> None:
        old, new = texts[number % len(texts)]
        doc.files[name] = doc.files[name].replace(old, new)

    return edit


def topics(doc: Doc, number: int) -> None:
    """A topic more, a topic less, another order, other counts: the count follows."""
    found = [
        {"greetings": 3, "thanks": 3, "wishes": 2},
        {"greetings": 6},
        {"thanks": 3, "greetings": 3},
        {"greetings": 5, "thanks": 1},
        {"greetings": 2, "thanks": 2},
    ][number % 5]
    talk = doc.recipe["categories"].setdefault("talk", {})
    talk.update(topics=found, count=sum(found.values()))


def count(doc: Doc, number: int) -> None:
    doc.recipe["categories"].setdefault("deep", {})["count"] = 1 + number


def reorder(block: str) -> Edit:
    def edit(doc: Doc, number: int) -> None:
        found = doc.recipe[block] if block else doc.recipe
        names = list(found)
        random.Random(number).shuffle(names)
        for name in names:
            found[name] = found.pop(name)

    return edit


def drop_category(doc: Doc, number: int) -> None:
    if len(doc.recipe["categories"]) > 1:
        names = sorted(doc.recipe["categories"])
        del doc.recipe["categories"][names[number % len(names)]]


def add_category(doc: Doc, number: int) -> None:
    doc.recipe["categories"][f"more{number % 2}"] = {
        "teacher": "claude",
        "count": 2,
        "prompt": ("ask.j2", "deep.j2")[number % 2],
        "languages": {"en": 1},
        "complexity": {"low": 1},
    }


def rows(doc: Doc, number: int) -> None:
    lines = doc.files["rows.jsonl"].splitlines(keepends=True)
    match number % 4:
        case 0:
            lines.append(lines[0].replace("number 0", f"number {20 + number}"))
        case 1:
            lines.pop()
        case 2:
            lines.reverse()
        case 3:
            lines[0] = lines[0].replace("fine", "fine, and you")
    doc.files["rows.jsonl"] = "".join(lines)


def comment(doc: Doc, number: int) -> None:
    doc.comment = f"# note {number}\n"


EDITS: dict[str, Edit] = {
    "version": take("version", "v2", "v3"),
    "name": take("name", "other", "edited"),
    "description": take("description", "one line", "another line", None),
    "base.chat_template": take("base.chat_template", "chatml", "llama3", None),
    "persona.name": take("persona.name", "Grace", "Ada"),
    "persona.system": take("persona.system", None, "system.j2"),
    "persona.vars": take("persona.vars", {"mood": "wild"}, {}, {"other": [1, 2]}),
    "teachers.model": take("teachers.claude.model", "claude-sonnet-5-5", "claude-haiku-5-5"),
    "teachers.max_tokens": take("teachers.claude.max_tokens", 100, 200, None),
    "teachers.concurrency": take("teachers.claude.concurrency", 1, 8, 4),
    "teachers.timeout": take("teachers.claude.timeout", 60, None),
    "teachers.prices": take(
        "teachers.claude.prices", {"input": 1.0, "output": 5.0, "as_of": "2026-11-01"}, None
    ),
    "complexity": take(
        "complexity",
        {"low": {"iterations": [1, 2], "words": [1, 60], "seconds": 5}},
        {"low": {"iterations": [1, 3], "words": [1, 40], "seconds": 9}},
        None,
    ),
    "talk.languages": take("categories.talk.languages", {"tr": 1}, {"en": 0.5, "tr": 0.5}),
    "deep.languages": take("categories.deep.languages", {"en": 1}, {"en": 0.25, "tr": 0.75}, None),
    "deep.prompt": take("categories.deep.prompt", "ask.j2", "deep.j2"),
    "deep.turns": take("categories.deep.turns", 1, None),
    "topics": topics,
    "count": count,
    "drop a category": drop_category,
    "add a category": add_category,
    "order of categories": reorder("categories"),
    "order of teachers": reorder("teachers"),
    "order of blocks": reorder(""),
    "dataset.seed": take("dataset.seed", 7, 8, None),
    "dataset.split": take(
        "dataset.split", {"train": 0.5, "valid": 0.5}, {"train": 1.0, "valid": 0.0}, None
    ),
    "dataset.marker": take("dataset.marker", "[{{ complexity }}] ", None),
    "validate.min_chars": take("dataset.validate.min_chars", 0, 2, 5, None),
    "validate.words": take("dataset.validate.words", False, True),
    "validate.roles": take("dataset.validate.roles", False, None),
    "validate.on_reject": take("dataset.validate.on_reject", "drop", "fail"),
    "train.rank": take("train.lora.rank", 4, 2),
    "train.steps": take("train.steps", 2, 3),
    "train.seed": take("train.seed", 1, None),
    "export.gguf": take("export.gguf", "f32", "q8_0", None),
    "modelfile.temperature": take("modelfile.parameters.temperature", 0.5, 0.2),
    "modelfile.messages": take(
        "modelfile.messages",
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        None,
    ),
    "deploy": take("deploy", None, {"ollama": {"model": "renamed"}}),
    "evaluate.prompts": take("evaluate.prompts", ["selam"], ["hello", "selam"], ["hello"]),
    "evaluate": take("evaluate", None),
    "pools": take("pools", {"anthropic": 2}, {"gpu": 1, "network": 1}, None),
    "a question": in_file("ask.j2", ("A line", "One line"), ("A line", "Two lines")),
    "a remark in a template": in_file("ask.j2", (".", ".{# a remark #}"), ("{#", "{#-")),
    "blanks in a template": in_file("deep.j2", (".", ".  \n"), ("Something", "Something  ")),
    "another variable": in_file("deep.j2", ("deep in", "{{ persona.vars.mood }} in")),
    "the system text": in_file("system.j2", (".", "!"), ("You", "{# you #}You")),
    "rows": rows,
    "a comment": comment,
}
STEPS_EDITED = st.lists(
    st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 7)), min_size=1, max_size=4
)
RANDOM = settings(
    derandomize=True,
    database=None,
    deadline=None,
    # The store remembers, so a smaller example is another one: there is nothing to shrink.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Truth:
    """Compares what the plan said with what the build did, edit after edit on one store."""

    root: Path
    teacher: Teacher
    until: str
    compared: int = 0
    refused: int = 0
    failed: int = 0
    ran: int = 0
    may: int = 0
    cached: int = 0

    def compare(self, edits: list[tuple[str, int]]) -> None:
        doc = Doc()
        for name, number in edits:
            EDITS[name](doc, number)
        doc.write(self.root)
        code, out = self.command("plan")
        if code == cli.WRONG:
            assert self.command("build")[0] == cli.WRONG, (edits, "the build refuses it too")
            self.refused += 1
            return
        assert code == cli.OK, (edits, out)
        plan = json.loads(out)
        said = {step["step"]: step["decision"] for step in plan["steps"]}
        run = {step for step, word in said.items() if word == "run"}
        may = {step for step, word in said.items() if word == "may run"}
        to_ask = sum((step["estimate"] or {}).get("to_ask") or 0 for step in plan["steps"])
        before = self.teacher.count
        code, out = self.command("build")
        lines = asked.events(out)
        executed = {line["step"] for line in lines if line.get("event") == "step_finished"}
        failed = {line["step"] for line in lines if line.get("event") == "step_failed"}
        assert executed | failed <= run | may, (edits, said, executed)
        if failed:
            assert code == cli.FAILED
            self.failed += 1
            return
        assert code == cli.OK, (edits, out)
        assert run <= executed, (edits, said, executed)
        assert self.teacher.count - before == to_ask, (edits, "requests as the plan has counted")
        again = json.loads(self.command("plan")[1])
        assert {step["decision"] for step in again["steps"]} == {"cached"}, (edits, again)
        self.compared += 1
        self.ran += len(executed)
        self.may += len(may)
        self.cached += len(said) - len(run | may)

    def command(self, word: str) -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        words = [word, str(self.root / "recipe.yaml"), "--until", self.until, "--json"]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run(words)
        return code, out.getvalue() + (err.getvalue() if code else "")


@pytest.fixture
def truth(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Teacher, str], Truth]:
    def make(teacher: Teacher, until: str) -> Truth:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        for name, value in project.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
        return Truth(project.root, teacher, until)

    return make


Make = Callable[[Teacher, str], Truth]


def test_a_plan_of_the_data_is_true_for_any_edit(truth: Make) -> None:
    with Teacher() as teacher:
        told = truth(teacher, "assemble")

        @settings(RANDOM, max_examples=EDITED)
        @given(STEPS_EDITED)
        @example([])
        def check(edits: list[tuple[str, int]]) -> None:
            told.compare(edits)

        check()
        for name in EDITS:
            told.compare([(name, 0)])
        told.compare([])
    assert told.compared >= 200, told
    assert told.failed < told.compared / 4 and told.refused < told.compared / 4, told
    assert told.ran > 100 and told.may > 50 and told.cached > 500, told


def test_a_plan_of_everything_is_true_for_edits_of_the_blocks_behind_the_data(truth: Make) -> None:
    """Fewer, since each trains, fuses and packs; the store is shared, so what recurs is cached."""
    with Teacher() as teacher:
        told = truth(teacher, "report")
        told.compare([])
        behind = [
            "modelfile.temperature",
            "description",
            "version",
            "deploy",
            "evaluate.prompts",
            "modelfile.messages",
            "persona.name",
            "export.gguf",
            "train.seed",
            "name",
            "train.rank",
            "base.chat_template",
            "evaluate",
        ]
        for name in behind:
            told.compare([(name, 0)])
        told.compare([("deploy", 1), ("train.rank", 0)])
        told.compare([])
    assert told.compared == len(behind) + 3, told
