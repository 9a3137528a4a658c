"""What a model is shown: messages rendered by its chat template, and the same for Ollama."""

from jessy_build.chat.builtin import BUILTIN
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
