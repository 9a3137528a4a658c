"""What a model is shown: messages rendered by its chat template, and the same for Ollama.

What needs Jinja is loaded when it is first asked for: a plan wants the texts of the templates only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jessy_build.chat.builtin import BUILTIN

if TYPE_CHECKING:
    from jessy_build.chat.ollama import OllamaTemplate, ollama_template
    from jessy_build.chat.render import Chat, NotPrefixStable, Segment, Turn

__all__ = [
    "BUILTIN",
    "Chat",
    "NotPrefixStable",
    "OllamaTemplate",
    "Segment",
    "Turn",
    "ollama_template",
]

HOMES = {
    **dict.fromkeys(("Chat", "NotPrefixStable", "Segment", "Turn"), "render"),
    **dict.fromkeys(("OllamaTemplate", "ollama_template"), "ollama"),
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
