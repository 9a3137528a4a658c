"""Turn messages into the exact text a model sees: for training, asking and serving alike.

Tokenise what this renders without special tokens: the template itself writes the BOS.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from jessy_build.chat.environment import make_environment
from jessy_build.chat.families import family_of
from jessy_build.diagnostics import StepError
from jessy_build.example import Message

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

    def __init__(self, turn: int, alone: str, followed: str) -> None:
        """`alone` is what the messages up to this one gave, `followed` what took its place."""
        self.turn, self.alone, self.followed = turn, alone, followed
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
        environment = make_environment(self.now)
        try:
            compiled = environment.from_string(self.template)
        except TemplateError as error:
            raise StepError(f"the chat template is no valid Jinja2: {error}") from None
        object.__setattr__(self, "_compiled", compiled)

    @classmethod
    def load(cls, model_dir: Path, template: str | None = None) -> "Chat":
        """`template` takes the place of the folder's own."""
        config = _json(model_dir / "tokenizer_config.json")
        special = _json(model_dir / "special_tokens_map.json") | config
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        tokens = {name: _text(special.get(name)) for name in names}
        bos, eos = tokens.pop("bos_token"), tokens.pop("eos_token")
        return cls(template or _template_of(model_dir, config), bos, eos, tokens)

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
            for alone, followed in ((before, after), (after, text), (text[:done], before)):
                if not followed.startswith(alone):
                    raise NotPrefixStable(place, alone, followed)
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
        """Texts that end an answer: the end of turn, and what the base ended with before tuning."""
        family = family_of(self.render([{"role": "user", "content": PROBE}], generate=True))
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
