"""Turn messages into the exact text a model sees: for training, asking and serving alike.

Tokenise what this renders without special tokens: the template itself writes the BOS.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jessy_build.diagnostics import StepError
from jessy_build.example import Message

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Gemma has no system role: what the system says opens the first user turn.
GEMMA = """\
{{- bos_token }}
{%- set system = '' %}
{%- set turns = messages %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set turns = messages[1:] %}
    {%- if messages[0]['content'] %}
        {%- set system = messages[0]['content'] + '\\n\\n' %}
    {%- endif %}
{%- endif %}
{%- for message in turns %}
    {%- if message['role'] == 'assistant' %}
        {{- '<start_of_turn>model\\n' }}
    {%- else %}
        {{- '<start_of_turn>user\\n' }}
        {%- if loop.first %}
            {{- system }}
        {%- endif %}
    {%- endif %}
    {{- message['content'] + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}
"""

LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

BUILTIN: Mapping[str, str] = MappingProxyType({"chatml": CHATML, "gemma": GEMMA, "llama3": LLAMA3})
"""Templates a recipe can name. None adds a system message of its own."""

MARKER = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
PROBE = "Zxqv"

Turn = Message | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the rendered text, and whether the loss counts it."""

    text: str
    trained: bool


class NotPrefixStable(StepError):
    """The template rewrites earlier turns when later ones arrive, so turns cannot be masked."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        super().__init__(
            f"the chat template renders message {turn} differently once more messages follow it",
            hint="train on one answer a row, or set base.chat_template: chatml | gemma | llama3",
        )


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat template with the tokens it may write. `now` serves templates that print a date."""

    template: str
    bos: str = ""
    eos: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Other special tokens by the name a template calls them, such as `unk_token`."""
    now: Callable[[], datetime] = datetime.now
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        environment = _environment(self.now)
        try:
            compiled = environment.from_string(self.template)
        except TemplateError as error:
            raise StepError(f"the chat template is no valid Jinja2: {error}") from None
        object.__setattr__(self, "_compiled", compiled)

    @classmethod
    def load(cls, model_dir: Path) -> "Chat":
        config = _json(model_dir / "tokenizer_config.json")
        special = _json(model_dir / "special_tokens_map.json") | config
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        tokens = {name: _text(special.get(name)) for name in names}
        bos, eos = tokens.pop("bos_token"), tokens.pop("eos_token")
        return cls(_template_of(model_dir, config), bos, eos, tokens)

    def render(self, messages: Iterable[Turn], generate: bool = False) -> str:
        """The whole text, BOS included; with `generate` it ends where the answer begins."""
        try:
            text: str = self._compiled.render(
                messages=[_plain(message) for message in messages],
                add_generation_prompt=generate,
                bos_token=self.bos,
                eos_token=self.eos,
                tools=None,
                documents=None,
                # Reasoning is a turn's content here, never a mode of the template.
                enable_thinking=False,
                **self.tokens,
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise StepError(f"the chat template cannot render these messages: {error}") from None
        return text

    def segments(self, messages: Sequence[Turn]) -> tuple[Segment, ...]:
        """The rendered text cut so that every answer, with its end of turn, is a trained part."""
        text = self.render(messages)
        parts: list[Segment] = []
        done = 0
        for place, message in enumerate(messages):
            if _plain(message)["role"] != "assistant":
                continue
            before = self.render(messages[:place], generate=True)
            after = self.render(messages[: place + 1])
            if not after.startswith(before) or not text.startswith(after) or len(before) < done:
                raise NotPrefixStable(place)
            end = _end_of_turn(after, len(before), self.end_of_turn)
            parts += [
                Segment(text[done : len(before)], False),
                Segment(text[len(before) : end], True),
            ]
            done = end
        if done < len(text):
            parts.append(Segment(text[done:], False))
        return tuple(part for part in parts if part.text)

    @property
    def end_of_turn(self) -> str:
        """The token text that the template puts behind an answer; '' when there is none."""
        question = {"role": "user", "content": "?"}
        answered = self.render([question, {"role": "assistant", "content": PROBE}])
        tail = answered.rpartition(PROBE)[2]
        marker = MARKER.search(tail)
        return marker.group() if marker else tail.strip()

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer: the end of turn, and what the base wrote before it was tuned."""
        family = family_of(self)
        texts = (self.end_of_turn, *(family.stops if family else ()), self.eos)
        return tuple(dict.fromkeys(text for text in texts if text))

    @property
    def leading_bos(self) -> str:
        """The BOS when every prompt begins with one, so that a server has to add it; else ''.

        SmolLM2's BOS is also what opens each of its turns: that one is no BOS.
        """
        ask, answer = {"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}
        prompt = self.render([ask, answer, ask], generate=True)
        once = bool(self.bos) and prompt.count(self.bos) == 1
        return self.bos if once and prompt.startswith(self.bos) else ""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of chat template, known by a marker in its text, and its Ollama counterpart."""

    name: str
    marker: str
    stops: tuple[str, ...]
    go: str
    default_system: str = ""
    """Go text put in front when the Jinja template adds a system message of its own."""


FAMILIES = (
    Family(
        name="chatml",
        marker="<|im_start|>",
        stops=("<|im_end|>", "<|endoftext|>"),
        go=(
            "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
            "<|im_start|>assistant\n"
        ),
        default_system=("{{- if not .System }}<|im_start|>system\n%s<|im_end|>\n{{ end }}"),
    ),
    Family(
        name="gemma",
        marker="<start_of_turn>",
        stops=("<end_of_turn>", "<eos>"),
        go=(
            "{{- $system := .System }}{{ range .Messages }}"
            '{{ if eq .Role "user" }}<start_of_turn>user\n'
            '{{ if $system }}{{ $system }}\n\n{{ $system = "" }}{{ end }}'
            "{{ .Content }}<end_of_turn>\n"
            '{{ else if eq .Role "assistant" }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n'
            "{{ end }}{{ end }}<start_of_turn>model\n"
        ),
    ),
    Family(
        name="llama3",
        marker="<|start_header_id|>",
        stops=("<|eot_id|>", "<|end_of_text|>"),
        go=(
            "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
            "{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        default_system=(
            "{{- if not .System }}<|start_header_id|>system<|end_header_id|>\n\n%s<|eot_id|>{{ end }}"
        ),
    ),
)


def family_of(chat: Chat) -> Family | None:
    prompt = chat.render([{"role": "user", "content": PROBE}], generate=True)
    return next((family for family in FAMILIES if family.marker in prompt), None)


@dataclass(frozen=True, slots=True)
class OllamaTemplate:
    """A Go TEMPLATE that renders as the chat does, less the BOS, which the runner adds."""

    text: str
    stops: tuple[str, ...]


SHAPES: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user", "assistant", "user"),
)


def ollama_template(chat: Chat) -> OllamaTemplate:
    """The Go counterpart, proved on four shapes of conversation, or a StepError that says why not.

    Go cannot trim: a template that trims is matched for contents without outer white space.
    """
    family = family_of(chat)
    if family is None:
        raise StepError(
            "no Ollama TEMPLATE is known for this chat template",
            hint=f"known are those that write {', '.join(f.marker for f in FAMILIES)}; "
            "set modelfile.template to a text of your own",
        )
    system = _injected_system(chat, family)
    for shape in SHAPES:
        messages = [{"role": role, "content": f"{role} {n} x"} for n, role in enumerate(shape)]
        wanted = chat.render(messages, generate=True).removeprefix(chat.leading_bos)
        if wanted != _as_go(family, messages, system):
            raise StepError(
                f"the chat template looks like {family.name} but renders "
                f"{' + '.join(shape)} otherwise, so no Ollama TEMPLATE can be derived from it",
                hint=f"set base.chat_template: {family.name}, or modelfile.template",
            )
    text = family.go
    if system:
        text = family.default_system.replace("%s", system) + text
    return OllamaTemplate(text, chat.stops)


def _injected_system(chat: Chat, family: Family) -> str:
    """The system text that the template writes when a conversation brings none."""
    if not family.default_system:
        return ""
    question = [{"role": "user", "content": PROBE}]
    text = chat.render(question, generate=True).removeprefix(chat.leading_bos)
    bare = _as_go(family, question, "")
    if not text.endswith(bare) or text == bare:
        return ""
    frame_open, _, frame_close = _frame(family).partition("%s")
    extra = text.removesuffix(bare)
    if not (extra.startswith(frame_open) and extra.endswith(frame_close)):
        return ""
    system = extra.removeprefix(frame_open).removesuffix(frame_close)
    if "{{" in system:
        raise StepError(
            "the chat template's own system text holds '{{', which an Ollama TEMPLATE cannot carry"
        )
    return system


def _frame(family: Family) -> str:
    """A default system turn as text, out of its Go condition."""
    return family.default_system.removeprefix("{{- if not .System }}").removesuffix("{{ end }}")


def _as_go(family: Family, messages: Sequence[Mapping[str, str]], system: str) -> str:
    """What Ollama renders from the family's TEMPLATE, worked out here to compare with Jinja."""
    given = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    if family.name == "gemma":
        text, pending = "", given
        for message in messages:
            if message["role"] == "user":
                head = f"{pending}\n\n" if pending else ""
                text += f"<start_of_turn>user\n{head}{message['content']}<end_of_turn>\n"
                pending = ""
            elif message["role"] == "assistant":
                text += f"<start_of_turn>model\n{message['content']}<end_of_turn>\n"
        return text + "<start_of_turn>model\n"
    start = _frame(family).replace("%s", system) if system and not given else ""
    if family.name == "chatml":
        turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        return start + "".join(turns) + "<|im_start|>assistant\n"
    head = "<|start_header_id|>%s<|end_header_id|>\n\n"
    turns = (head % m["role"] + m["content"] + "<|eot_id|>" for m in messages)
    return start + "".join(turns) + head % "assistant"


def _environment(now: Callable[[], datetime]) -> ImmutableSandboxedEnvironment:
    """Set up as transformers does: published templates are written for that, and for no other.

    So an undefined name is false here rather than an error; every one of them counts on it.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda style: now().strftime(style)
    environment.filters["tojson"] = _tojson
    return environment


class _GenerationBlock(Extension):
    """`{% generation %} … {% endgeneration %}` marks answers for other tools; here it is no-op."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _plain(message: Turn) -> dict[str, str]:
    if isinstance(message, Message):
        return {"role": message.role, "content": message.content}
    return dict(message)


def _end_of_turn(text: str, start: int, token: str) -> int:
    """Where the trained part ends: behind the last end-of-turn token, or at the text's end."""
    found = text.rfind(token, start) if token else -1
    return len(text) if found < 0 else found + len(token)


def _template_of(model_dir: Path, config: Mapping[str, Any]) -> str:
    # transformers 5 and mlx-lm write the template to its own file and nowhere else.
    own = model_dir / "chat_template.jinja"
    if own.is_file():
        return own.read_text("utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not isinstance(template, str):
        raise StepError(
            f"{model_dir} has no chat template",
            hint="set base.chat_template: gemma | chatml | llama3 or a file",
        )
    return template


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise StepError(f"{path} is no valid JSON") from None
    return value if isinstance(value, dict) else {}


def _text(token: Any) -> str:
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else ""
