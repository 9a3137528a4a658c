"""Derive an Ollama TEMPLATE from a chat template, and prove that both render the same text."""

from dataclasses import dataclass

from jessy_build.chat.families import FAMILIES, Family, Turns, family_of
from jessy_build.chat.render import PROBE, Chat
from jessy_build.diagnostics import StepError

SHAPES: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user", "assistant", "user"),
)


@dataclass(frozen=True, slots=True)
class OllamaTemplate:
    """A Go TEMPLATE that renders as the chat does, less the BOS, which the runner adds."""

    text: str
    stops: tuple[str, ...]


def ollama_template(chat: Chat) -> OllamaTemplate:
    """The Go counterpart, compared on four shapes of conversation, or a StepError with the reason.

    Go cannot trim: a template that trims is matched for contents without outer white space.
    """
    family = family_of(_prompt(chat, (("user", PROBE),)))
    if family is None:
        raise StepError(
            "no Ollama TEMPLATE is known for this chat template",
            hint=f"known are those that write {', '.join(f.marker for f in FAMILIES)}; "
            "set modelfile.template to a file of your own",
        )
    system = _own_system(chat, family)
    for shape in SHAPES:
        turns = tuple((role, f"{role} {number} x") for number, role in enumerate(shape))
        given = (("system", system), *turns) if system and "system" not in shape else turns
        if _prompt(chat, turns) != family.served(given):
            raise StepError(
                f"the chat template looks like {family.name} but renders {' + '.join(shape)} "
                "otherwise, so no Ollama TEMPLATE can be derived from it",
                hint=f"set base.chat_template: {family.name}, or modelfile.template",
            )
    return OllamaTemplate(_go_default(family, system) + family.go, chat.stops)


def _prompt(chat: Chat, turns: Turns) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return chat.render(messages, generate=True).removeprefix(chat.leading_bos)


def _own_system(chat: Chat, family: Family) -> str:
    """The system text that the template writes when a conversation brings none."""
    question = (("user", PROBE),)
    before, _, after = family.system_turn.partition("%s")
    extra = _prompt(chat, question).removesuffix(family.served(question))
    if not (before and extra.startswith(before) and extra.endswith(after)):
        return ""
    return extra.removeprefix(before).removesuffix(after)


def _go_default(family: Family, system: str) -> str:
    if "{{" in system:
        raise StepError(
            "the chat template's own system text holds '{{', which an Ollama TEMPLATE cannot carry"
        )
    turn = family.system_turn.replace("%s", system)
    return "{{- if not .System }}" + turn + "{{ end }}" if system else ""
