"""Messages become text as transformers would make it, and as Ollama will."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jessy_build.chat import BUILTIN, Chat, NotPrefixStable, Segment, ollama_template
from jessy_build.diagnostics import StepError
from jessy_build.example import Message
from tests.ollama_server import serve

BOS, EOS = "<bos>", "<eos>"
SYSTEM, ASK, ANSWER, MORE = (
    {"role": "system", "content": "Kısa konuş."},
    {"role": "user", "content": "sana bisi sorucam"},
    {"role": "assistant", "content": "Sor kanka, dinliyorum."},
    {"role": "user", "content": "naber?"},
)
CONVERSATIONS = [[ASK], [SYSTEM, ASK], [ASK, ANSWER, MORE], [SYSTEM, ASK, ANSWER, MORE, ANSWER]]

# A template in the manner of SmolLM2's: it speaks first when nobody else has set the scene.
OWN_SYSTEM = (
    "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are \"kind\", 100% of the time.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# A template in the manner of Qwen 3's: answers lose something once they are history.
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think></think>{% endif %}"
)


def builtin(name: str) -> Chat:
    return Chat(BUILTIN[name], BOS, EOS)


def test_chatml_renders_turns_between_its_markers() -> None:
    assert builtin("chatml").render([SYSTEM, ASK], generate=True) == (
        "<|im_start|>system\nKısa konuş.<|im_end|>\n"
        "<|im_start|>user\nsana bisi sorucam<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_chatml_adds_no_system_message_of_its_own() -> None:
    assert "system" not in builtin("chatml").render([ASK], generate=True)


def test_gemma_folds_the_system_message_into_the_first_user_turn() -> None:
    assert builtin("gemma").render([SYSTEM, ASK, ANSWER, MORE], generate=True) == (
        "<bos><start_of_turn>user\nKısa konuş.\n\nsana bisi sorucam<end_of_turn>\n"
        "<start_of_turn>model\nSor kanka, dinliyorum.<end_of_turn>\n"
        "<start_of_turn>user\nnaber?<end_of_turn>\n"
        "<start_of_turn>model\n"
    )


def test_llama3_opens_with_the_bos_and_ends_turns_with_eot() -> None:
    assert builtin("llama3").render([ASK, ANSWER]) == (
        "<bos><|start_header_id|>user<|end_header_id|>\n\nsana bisi sorucam<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nSor kanka, dinliyorum.<|eot_id|>"
    )


@pytest.mark.parametrize("name", sorted(BUILTIN))
@pytest.mark.parametrize("messages", CONVERSATIONS, ids=len)
def test_transformers_renders_the_same(name: str, messages: list[dict[str, str]]) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    for generate in (True, False):
        rendered, _ = render_jinja_template(
            conversations=[messages],
            chat_template=BUILTIN[name],
            add_generation_prompt=generate,
            bos_token=BOS,
            eos_token=EOS,
        )
        assert builtin(name).render(messages, generate) == rendered[0]


def test_a_message_may_be_a_message_or_a_row() -> None:
    chat = builtin("chatml")
    assert chat.render([Message("user", "x")]) == chat.render([{"role": "user", "content": "x"}])


def test_every_answer_with_its_end_of_turn_is_trained_and_nothing_else() -> None:
    segments = builtin("gemma").segments([SYSTEM, ASK, ANSWER, MORE, ANSWER])
    assert [part.text for part in segments if part.trained] == [
        "Sor kanka, dinliyorum.<end_of_turn>"
    ] * 2
    assert segments[-1] == Segment("\n", False)


@pytest.mark.parametrize("name", sorted(BUILTIN))
@pytest.mark.parametrize("messages", CONVERSATIONS, ids=len)
def test_segments_join_to_the_whole_text(name: str, messages: list[dict[str, str]]) -> None:
    chat = builtin(name)
    assert "".join(part.text for part in chat.segments(messages)) == chat.render(messages)


def test_an_answer_that_quotes_the_end_of_turn_is_trained_to_its_own_end() -> None:
    quoting = {"role": "assistant", "content": "it is <|im_end|>, you see"}
    (trained,) = [p.text for p in builtin("chatml").segments([ASK, quoting]) if p.trained]
    assert trained == "it is <|im_end|>, you see<|im_end|>"


def test_a_template_that_rewrites_history_is_named_with_the_turn() -> None:
    chat = Chat(FORGETFUL)
    assert chat.segments([ASK, ANSWER])
    with pytest.raises(NotPrefixStable) as caught:
        chat.segments([ASK, ANSWER, MORE, ANSWER])
    assert caught.value.turn == 1


@pytest.mark.parametrize(
    ("name", "stops", "leading"),
    [
        ("chatml", ("<|im_end|>", "<|endoftext|>", EOS), ""),
        ("gemma", ("<end_of_turn>", EOS), BOS),
        ("llama3", ("<|eot_id|>", "<|end_of_text|>", EOS), BOS),
    ],
)
def test_stops_and_bos_are_read_from_the_rendered_text(
    name: str, stops: tuple[str, ...], leading: str
) -> None:
    assert builtin(name).stops == stops
    assert builtin(name).leading_bos == leading


def test_a_bos_that_opens_every_turn_is_no_bos() -> None:
    assert Chat(BUILTIN["chatml"], bos="<|im_start|>").leading_bos == ""


def test_a_bos_written_out_in_the_template_counts() -> None:
    assert Chat("<s>" + BUILTIN["chatml"], bos="<s>").leading_bos == "<s>"


def test_a_date_comes_from_the_given_clock() -> None:
    chat = Chat("{{ strftime_now('%d %b %Y') }}", now=lambda: datetime(2026, 11, 21))
    assert chat.render([ASK]) == "21 Nov 2026"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ messages | tojson }}", '[{"role": "user", "content": "ş<b>"}]'),
        ("{% if tools or nothing or messages[0].reasoning %}x{% endif %}ok", "ok"),
        ("{% for m in messages %}{% continue %}x{% endfor %}ok", "ok"),
        ("{% generation %}ok{% endgeneration %}", "ok"),
        ("{% if true %}\n  ok\n{% endif %}\n", "  ok\n"),
        ("{{ enable_thinking }}", "False"),
    ],
)
def test_published_templates_find_what_they_count_on(template: str, text: str) -> None:
    assert Chat(template).render([{"role": "user", "content": "ş<b>"}]) == text


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for %}", "is no valid Jinja2"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.append(1) }}", "cannot render"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "cannot render"),
        ("{{ messages[7].content.x }}", "cannot render"),
        ("{% include 'secrets' %}", "cannot render"),
    ],
)
def test_a_template_that_fails_or_reaches_out_is_refused(template: str, problem: str) -> None:
    with pytest.raises(StepError, match=problem):
        Chat(template).render([ASK])


@pytest.mark.parametrize("place", ["file", "settings", "list"])
def test_the_template_of_a_model_is_found_wherever_it_lies(place: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"bos_token": {"content": BOS}, "eos_token": EOS}
    if place == "file":
        (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}it", encoding="utf-8")
        settings["chat_template"] = "the older place"
    elif place == "settings":
        settings["chat_template"] = "{{ bos_token }}it"
    else:
        named = {"name": "default", "template": "{{ bos_token }}it"}
        settings["chat_template"] = [{"name": "tool_use", "template": "no"}, named]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    chat = Chat.load(tmp_path)
    assert (chat.render([ASK]), chat.eos) == ("<bos>it", EOS)


def test_a_model_without_a_template_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="has no chat template") as caught:
        Chat.load(tmp_path)
    assert "base.chat_template: gemma | chatml | llama3" in caught.value.hint


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_each_builtin_has_an_ollama_template(name: str) -> None:
    template = ollama_template(builtin(name))
    assert BOS not in template.text
    assert template.stops == builtin(name).stops


def test_a_system_text_of_the_templates_own_is_kept_for_ollama() -> None:
    assert ollama_template(Chat(OWN_SYSTEM, bos="<|im_start|>")).text == (
        "{{- if not .System }}<|im_start|>system\n"
        'You are "kind", 100% of the time.<|im_end|>\n{{ end }}'
        "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages %}[{{ m.role }}] {{ m.content }}</s>{% endfor %}", "is known"),
        (BUILTIN["chatml"].replace("'<|im_end|>\\n'", "'<|im_end|>'"), "renders user otherwise"),
        (
            BUILTIN["gemma"].replace("content'] + '\\n\\n'", "content'] + '\\n'"),
            "system \\+ user otherwise",
        ),
        (OWN_SYSTEM.replace("100%", "{'+'{x}}"), "holds '{{'"),
    ],
)
def test_a_template_without_a_counterpart_is_refused(template: str, problem: str) -> None:
    with pytest.raises(StepError, match=problem):
        ollama_template(Chat(template, BOS, EOS))


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("ollama")) as host:
        yield host


CHATS = {
    **{name: Chat(text, BOS, EOS) for name, text in BUILTIN.items()},
    "own system": Chat(OWN_SYSTEM, "<|im_start|>"),
}


@pytest.mark.parametrize("name", sorted(CHATS))
def test_a_real_ollama_renders_the_same(
    name: str, ollama: str, tiny_model: Path, tmp_path: Path
) -> None:
    from jessy_build import digest
    from jessy_build.packaging import gguf_write

    chat = CHATS[name]
    gguf = tmp_path / "for-ollama.gguf"
    gguf_write.write(tiny_model, gguf, name="tiny")
    blob = f"sha256:{digest.of_file(gguf)}"
    if name == min(CHATS):
        _post(f"{ollama}/api/blobs/{blob}", gguf.read_bytes())
    body = {
        "model": "tiny",
        "files": {"model.gguf": blob},
        "template": ollama_template(chat).text,
        "stream": False,
    }
    assert _post(f"{ollama}/api/create", body)["status"] == "success"
    for messages in CONVERSATIONS[:3]:
        asked = {
            "model": "tiny",
            "messages": messages,
            "stream": False,
            "_debug_render_only": True,
        }
        rendered = _post(f"{ollama}/api/chat", asked)["_debug_info"]["rendered_template"]
        wanted = chat.render(messages, generate=True).removeprefix(chat.leading_bos)
        assert rendered == wanted


def _post(url: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None
