"""Kinds of chat templates, known by a marker in their text, each with its Ollama counterpart.

Ollama fills Go templates. `go` is that text; `served` works out here what Ollama makes of it, so
that it can be compared with the Jinja template without an Ollama.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Turns = Sequence[tuple[str, str]]
"""Role and content, one pair a message."""


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    marker: str
    stops: tuple[str, ...]
    go: str
    served: Callable[[Turns], str]
    system_turn: str = ""
    """How a system message of the template's own is framed, around `%s`."""


def _served_chatml(turns: Turns) -> str:
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    return text + "<|im_start|>assistant\n"


def _served_llama3(turns: Turns) -> str:
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    text = "".join(head.format(role) + content + "<|eot_id|>" for role, content in turns)
    return text + head.format("assistant")


def _served_gemma(turns: Turns) -> str:
    system = "\n\n".join(content for role, content in turns if role == "system")
    text = ""
    for role, content in turns:
        if role == "user":
            folded = f"{system}\n\n" if system else ""
            text += f"<start_of_turn>user\n{folded}{content}<end_of_turn>\n"
            system = ""
        elif role == "assistant":
            text += f"<start_of_turn>model\n{content}<end_of_turn>\n"
    return text + "<start_of_turn>model\n"


FAMILIES = (
    Family(
        name="chatml",
        marker="<|im_start|>",
        stops=("<|im_end|>", "<|endoftext|>"),
        go=(
            "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
            "<|im_start|>assistant\n"
        ),
        served=_served_chatml,
        system_turn="<|im_start|>system\n%s<|im_end|>\n",
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
        served=_served_gemma,
    ),
    Family(
        name="llama3",
        marker="<|start_header_id|>",
        stops=("<|eot_id|>", "<|end_of_text|>"),
        go=(
            "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
            "{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        served=_served_llama3,
        system_turn="<|start_header_id|>system<|end_header_id|>\n\n%s<|eot_id|>",
    ),
)


def family_of(prompt: str) -> Family | None:
    return next((family for family in FAMILIES if family.marker in prompt), None)
