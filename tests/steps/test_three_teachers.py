"""400 items from three teachers, two of them real models: killed five times, each answer paid once.

Claude is on loopback, Ollama and llama.cpp run SmolLM2 behind servers that count what passes by.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jessy_build.example import Message
from jessy_build.packaging import ollama
from jessy_build.packaging.modelfile import Modelfile
from jessy_build.plan import slots
from tests import ollama_server
from tests.conftest import RealBases
from tests.loopback.passing_on import PassingOn
from tests.packaging.llama_server import serving
from tests.steps.asked import Teacher
from tests.steps.killing import kill_when, ledger_of
from tests.steps.project import Project, Ran

pytestmark = pytest.mark.real

CLAUDE, LOCAL = 376, 12
PLACES = {"claude": 4, "local": 1, "near": 1}
RECIPE = """\
recipe: 1
name: three
version: v1
base: {{model: "path:base"}}
teachers:
  claude: {{kind: anthropic, model: claude-haiku-5-5, concurrency: 4}}
  local: {{kind: ollama, model: "teacher:v1", host: "{ollama}", temperature: 0.7, max_tokens: 60}}
  near: {{kind: openai, model: smollm2, base_url: "{llama}/v1", temperature: 0.7, max_tokens: 60,
    concurrency: 1}}
complexity:
  low: {{iterations: [1, 2], words: [1, 100], seconds: 5}}
  high: {{iterations: [3, 9], words: [1, 100], seconds: 60}}
categories:
  talk:
    teacher: claude
    count: 376
    prompt: talk.j2
    languages: {{tr: 188, en: 113, mixed: 75}}
    complexity: {{low: 263, high: 113}}
    topics: {{greetings: 116, thanks: 120, plans: 140}}
  facts:
    teacher: local
    count: 12
    prompt: short.j2
    languages: {{en: 8, tr: 4}}
    complexity: {{low: 8, high: 4}}
    topics: {{animals: 5, food: 7}}
  chat:
    teacher: near
    count: 12
    prompt: short.j2
    languages: {{en: 1}}
    complexity: {{low: 0.5, high: 0.5}}
    topics: [weather, music, sports]
dataset:
  split: {{train: 0.9, valid: 0.1}}
  validate: {{duplicates: false, words: true, on_reject: replace}}
train:
  lora: {{rank: 2, alpha: 4}}
  steps: 6
  batch_size: 4
  optimizer: {{learning_rate: 1e-3}}
deploy:
  ollama: {{model: three}}
evaluate: {{prompts: [hello], max_tokens: 6}}
"""
TALK = (
    "A line about {{ topic.name }} for {{ complexity }} in {{ language_name }}, "
    "number {{ ordinal }}."
)
SHORT = (
    "Write a short question and a short answer about {{ topic.name }}, as JSON on one line "
    "({{ language }}, {{ complexity }}, {{ ordinal }}), like this: "
    '{"user": "What do cats drink?", "assistant": "Cats drink milk."}'
)
QUOTAS = {
    "talk": slots.cells(
        CLAUDE,
        {"greetings": 116, "thanks": 120, "plans": 140},
        {"tr": 188, "en": 113, "mixed": 75},
        {"low": 263, "high": 113},
    ),
    "facts": slots.cells(
        LOCAL, {"animals": 5, "food": 7}, {"en": 8, "tr": 4}, {"low": 8, "high": 4}
    ),
    "chat": slots.cells(
        LOCAL, {"weather": 4, "music": 4, "sports": 4}, {"en": 12}, {"low": 6, "high": 6}
    ),
}
MOMENTS = (60, 180, 300, 440)
"""Of the kills while teachers are asked: see `Servers.progress`. The fifth is while it trains."""


class Question(NamedTuple):
    """What is paid for once, as a server sees it. Claude's questions differ by their number."""

    teacher: str
    messages: str
    seed: int | None


def question(teacher: str, messages: list[tuple[str, str]], seed: int | None) -> Question:
    return Question(teacher, json.dumps(messages), seed)


class Tokens(NamedTuple):
    requests: int
    input: int
    output: int


@dataclass
class Servers:
    """Who is asked, and what each of them has seen."""

    claude: Teacher
    local: PassingOn
    near: PassingOn
    ollama: str

    def asked(self) -> list[Question]:
        """In the order in which it came, of each teacher."""
        # One whose client was killed between head and body has none.
        one = [_sent("claude", seen.body) for seen in self.claude.seen if seen.body]
        return one + [
            _sent(name, passed.body)
            for name, server in (("local", self.local), ("near", self.near))
            for passed in server.passed
        ]

    @property
    def progress(self) -> int:
        """An answer of a real model takes longer, and counts for ten of Claude's."""
        return self.claude.count + 10 * (self.local.answered + self.near.answered)

    @property
    def count(self) -> int:
        return self.claude.count + self.local.count + self.near.count

    def settle(self) -> list[Question]:
        before: list[Question] = []
        while len(now := self.asked()) != len(before):
            before = now
            time.sleep(0.2)
        return before

    def billed(self, teacher: str) -> Tokens:
        """For one answer to each question: the last one, where a kill lost the one before."""
        if teacher == "claude":
            count = len({q for q in self.asked() if q.teacher == teacher})
            return Tokens(count, 11 * count, 7 * count)
        answers = {_sent(teacher, p.body): p.answer for p in self._of(teacher).passed}
        used = [_used(answer) for answer in answers.values()]
        return Tokens(len(used), sum(used[0] for used in used), sum(used[1] for used in used))

    def _of(self, teacher: str) -> PassingOn:
        return self.local if teacher == "local" else self.near


def _sent(teacher: str, body: Any) -> Question:
    seed = body.get("seed", body.get("options", {}).get("seed"))
    return question(teacher, [(m["role"], m["content"]) for m in body["messages"]], seed)


def _used(answer: Any) -> tuple[int, int]:
    """Tokens in and out; those that a cache held are counted along."""
    if usage := answer.get("usage"):
        return usage["prompt_tokens"], usage["completion_tokens"]
    return answer.get("prompt_eval_count", 0), answer["eval_count"]


@pytest.fixture
def servers(tmp_path: Path, real_bases: RealBases) -> Iterator[Servers]:
    pytest.importorskip("xllamacpp")
    with ExitStack() as stack:
        host = stack.enter_context(ollama_server.serve(tmp_path / "ollama"))
        _teach(host, real_bases.smollm2)
        llama = stack.enter_context(serving(real_bases.smollm2, context=1024, threads=1))
        yield Servers(
            stack.enter_context(Teacher(0.15)),
            stack.enter_context(PassingOn(host)),
            stack.enter_context(PassingOn(llama.url)),
            host,
        )


def _teach(host: str, gguf: Path) -> None:
    """SmolLM2, as a model that Ollama has."""
    template = (
        "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n"
    )
    made = Modelfile(
        "./m.gguf", {"num_ctx": 1024, "num_thread": 1, "stop": ("<|im_end|>",)}, template=template
    )
    said = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    prompts = [((Message("user", "hello"),), said)]
    order = ollama.Deployment(host, "teacher", "v1", gguf, made, prompts, bos="<|im_start|>")
    ollama.deploy(order, lambda done, total, text: None)


def make(root: Path, base: Path, servers: Servers) -> Project:
    env = {
        "ANTHROPIC_BASE_URL": servers.claude.url,
        "ANTHROPIC_API_KEY": "sk-ant-test-0123456789",
        "OLLAMA_HOST": servers.ollama,
    }
    project = Project.make(root, base, **env)
    (root / "talk.j2").write_text(TALK)
    (root / "short.j2").write_text(SHORT)
    project.write(RECIPE.format(ollama=servers.local.url, llama=servers.near.url))
    return project


@dataclass
class Chain:
    """One project whose builds are killed one after the other, and then left in peace."""

    project: Project
    servers: Servers
    lost: int = 0
    """Answers that were on their way in some kill, and so are asked for again."""
    kept: Counter[Question] = field(default_factory=Counter)
    """What was on the disk after the last kill, and how often it had been asked by then."""

    def kill(self, due: Callable[[], bool], *, harsh: bool, out: Path) -> None:
        assert kill_when(self.project, ("--json",), due, harsh=harsh, out=out), out.read_text()
        asked = self.check()
        kept = committed(self.project)
        assert set(kept) <= set(asked)
        now = len(asked) - len(kept) - self.lost
        assert 0 <= now <= sum(PLACES.values()), "more is lost than was in flight"
        self.lost += now
        self.kept = Counter({q: asked.count(q) for q in kept})

    def check(self) -> list[Question]:
        """Nothing that was on the disk after the last kill has been asked again."""
        asked = self.servers.settle()
        again = Counter(asked)
        assert [q for q, times in self.kept.items() if again[q] != times] == []
        return asked


def committed(project: Project) -> list[Question]:
    """The questions whose answers are on the disk."""
    with ledger_of(project, project.root.parent / "look") as ledger:
        return [] if ledger is None else _committed(ledger)


TEACHERS = {"anthropic": "claude", "ollama": "local", "openai": "near"}


def _committed(ledger: sqlite3.Connection) -> list[Question]:
    rows = ledger.execute(
        "select question, sample, attempt from replies join questions using (stem)"
    ).fetchall()
    found = []
    for text, sample, attempt in rows:
        known = json.loads(text)
        if known["provider"] not in TEACHERS:
            # What a model here said, while it was compared or scored.
            continue
        teacher = TEACHERS[known["provider"]]
        seed = None if teacher == "claude" else sample + 1_000_003 * attempt
        found.append(question(teacher, [(r, c) for r, c in known["messages"]], seed))
    assert len(set(found)) == len(found)
    return found


def spent(project: Project) -> dict[str, Tokens]:
    """What the ledger says, of all builds together."""
    sums: dict[str, Counter[str]] = {}
    with ledger_of(project, project.root.parent / "look") as ledger:
        assert ledger is not None
        for teacher, measures in ledger.execute("select teacher, measures from spent"):
            sums.setdefault(teacher, Counter()).update(json.loads(measures))
    return {
        teacher: Tokens(
            round(sum["requests"]),
            round(sum["input_tokens"] + sum["cached_input_tokens"]),
            round(sum["output_tokens"]),
        )
        for teacher, sum in sums.items()
    }


DATASET = Path("builds/three/v1/dataset")
TRAINED_ON = ("train.jsonl", "valid.jsonl")


def held(project: Project) -> Counter[tuple[str, str, str]]:
    """Rows by category, language and level."""
    names = ("category", "language", "complexity")
    rows = [json.loads(line) for content in trained_on(project) for line in content.splitlines()]
    return Counter((row[names[0]], row[names[1]], row[names[2]]) for row in rows)


def wanted() -> Counter[tuple[str, str, str]]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for category, cells in QUOTAS.items():
        for (_, language, level), count in cells.items():
            sums[category, language, level] += count
    return sums


def trained_on(project: Project) -> list[bytes]:
    return [(project.root / DATASET / name).read_bytes() for name in TRAINED_ON]


def build(project: Project) -> Ran:
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    return done


def with_answers_of(project: Project, other: Project) -> None:
    """Its store holds the other's answers, and nothing that was made of them."""
    (project.root / ".jessy").mkdir()
    with (
        ledger_of(other, other.root.parent / "look") as ledger,
        sqlite3.connect(project.root / ".jessy/ledger.sqlite") as copy,
    ):
        assert ledger is not None
        ledger.backup(copy)
        for table in ("artifacts", "latest", "builds", "notes", "files", "decisions", "spent"):
            copy.execute(f"delete from {table}")


def test_five_kills_cost_no_answer_that_had_come(
    tmp_path: Path, tiny_model: Path, servers: Servers
) -> None:
    project = make(tmp_path / "p", tiny_model, servers)
    chain, out = Chain(project, servers), tmp_path / "out"
    for number, moment in enumerate(MOMENTS):
        chain.kill(
            lambda moment=moment: servers.progress >= moment,  # type: ignore[misc]
            harsh=number % 2 == 1,
            out=out,
        )
    chain.kill(lambda: _trains(out), harsh=True, out=out)
    build(project)

    asked = chain.check()
    assert set(asked) == set(committed(project)), "each question has an answer"
    assert len(asked) - len(set(asked)) == chain.lost
    answered = {name: servers.billed(name) for name in PLACES}
    assert spent(project) == answered, "what was lost on its way is all that is not on record"

    assert held(project) == wanted()
    assert held(project).total() == 400

    build(project)
    other = make(tmp_path / "other", tiny_model, servers)
    with_answers_of(other, project)
    other_done = other.run("build", "recipe.yaml", "--until", "assemble")
    assert other_done.code == 0, other_done.out + other_done.err
    assert trained_on(other) == trained_on(project)
    assert servers.count == len(asked), "what is known is asked nowhere"


def _trains(out: Path) -> bool:
    return any(
        '"step_started"' in line and '"train"' in line for line in out.read_text().splitlines()
    )
