"""The Modelfile that is written is the one that is read, by us and by Ollama's own parser."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jessy_build.packaging import modelfile
from jessy_build.packaging.config import Config, Parameters
from jessy_build.packaging.modelfile import Message, Modelfile
from jessy_build.packaging.versions import is_older
from jessy_build.recipe.documented import documentation
from tests import ollama_server
from tests.required import missing

NASTY = (
    "plain",
    "",
    " padded on both sides  ",
    "two\nlines",
    "\n",
    "\nempty lines around\n\n",
    'He said "Hi" and left',
    '"Hi" she said',
    'ends with a quote"',
    '""',
    '"""starts with three',
    'ends with three"""',
    'three """ in the middle',
    "tab\tand carriage return\r\nline",
    "# no comment",
    "PARAMETER temperature 9",
    r"backslash n: \n",
    "şğüöçıİ ŞĞÜÖÇ, naïve, 日本語, 🙂🚀",
    "user: with a colon: inside",
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}",
)

texts = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' \n\t\r"#:'), max_size=40
) | st.sampled_from(NASTY)
carried = texts.filter(
    lambda text: (
        not any(line.rstrip().endswith('"""') for line in text.replace("\r", "\n").split("\n")[:-1])
    )
)
numbers = st.floats(0, 1, allow_nan=False) | st.integers(0, 1)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "temperature": numbers,
        "top_p": numbers,
        "presence_penalty": st.floats(-1e6, 1e6, allow_nan=False),
        "top_k": st.integers(0, 10**9),
        "num_predict": st.integers(-2, 10**6),
        "seed": st.integers(-(2**62), 2**62),
        "stop": st.lists(carried.filter(bool), min_size=1, max_size=3).map(tuple),
    },
)
versions = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(
    lambda parts: ".".join(map(str, parts))
)
modelfiles = st.builds(
    Modelfile,
    from_=st.just("./model.gguf") | carried.filter(bool),
    parameters=parameters,
    system=st.none() | carried,
    template=st.none() | carried,
    messages=st.lists(
        st.builds(Message, st.sampled_from(("system", "user", "assistant")), carried), max_size=3
    ).map(tuple),
    license=st.lists(carried, max_size=2).map(tuple),
    adapter=st.none() | carried,
    requires=st.none() | versions,
)


@given(modelfiles)
def test_what_is_written_is_what_is_read(made: Modelfile) -> None:
    assert modelfile.parse(modelfile.render(made)) == made


@pytest.mark.parametrize("text", NASTY)
def test_every_nasty_text_comes_back_as_it_was(text: str) -> None:
    made = Modelfile("./m.gguf", system=text, template=text, messages=(Message("user", text),))
    assert modelfile.parse(modelfile.render(made)) == made


def test_the_file_reads_as_people_know_it() -> None:
    made = Modelfile(
        "./model.gguf",
        {"temperature": 0.7, "num_ctx": 4096, "stop": ("<|im_end|>",)},
        system="Kısa konuş.",
        template="{{ .Prompt }}",
        messages=(Message("user", "selam"), Message("assistant", "selam kanka")),
        license=("Apache-2.0",),
        requires="0.14.0",
    )
    assert modelfile.render(made) == (
        "FROM ./model.gguf\n"
        "REQUIRES 0.14.0\n"
        "PARAMETER temperature 0.7\n"
        "PARAMETER num_ctx 4096\n"
        'PARAMETER stop """<|im_end|>"""\n'
        'TEMPLATE """{{ .Prompt }}"""\n'
        'SYSTEM """Kısa konuş."""\n'
        'MESSAGE user """selam"""\n'
        'MESSAGE assistant """selam kanka"""\n'
        'LICENSE """Apache-2.0"""\n'
    )


def test_a_hand_written_file_is_read() -> None:
    text = (
        "# my model\r\n"
        "\n"
        "from   llama3\n"
        'parameter stop "<end>"\n'
        "PARAMETER stop plain words\n"
        "PARAMETER temperature .5\n"
        "  SYSTEM You are JESSY.  \n"
        'SYSTEM "The last one\nwins."\n'
        "MESSAGE user hello there\n"
    )
    assert modelfile.parse(text) == Modelfile(
        "llama3",
        {"stop": ("<end>", "plain words"), "temperature": 0.5},
        system="The last one\nwins.",
        messages=(Message("user", "hello there"),),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no FROM line"),
        ("SYSTEM x", "there is no FROM line"),
        ("FROM m\nFORM x", "line 2: a command must be one of FROM, PARAMETER"),
        ("FROM m\nRENDERER x", "line 2: a command must be one of"),
        ("FROM\nm", "line 1: a command must be one of"),
        ("FROM m\n\nPARAMETER temprature 1", "did you mean 'temperature'?"),
        ("FROM m\nPARAMETER mirostat 1", "line 2: unknown parameter 'mirostat'"),
        ("FROM m\nPARAMETER temperature 0.7 # hot", "line 2: '0.7 # hot' is no number"),
        ("FROM m\nPARAMETER temperature nan", "line 2: 'nan' is no number"),
        ("FROM m\nPARAMETER top_k 1.5", "line 2: '1.5' is no whole number"),
        ("FROM m\nPARAMETER top_p 2", "line 2: top_p: Input should be less than or equal to 1"),
        ("FROM m\nPARAMETER stop", "line 2: PARAMETER needs a parameter's name and a value"),
        ('FROM m\nPARAMETER stop ""', "line 2: stop: "),
        ("FROM m\nMESSAGE User hi", "line 2: a message's role is system, user, assistant"),
        (
            'FROM m\n\nSYSTEM "Hi" she said\nFROM x',
            'line 3: the text that begins here with " has no',
        ),
        ('FROM m\nSYSTEM """never closed', 'line 2: the text that begins here with """ has no end'),
        ("FROM m\nSYSTEM a\u00a0b", "line 2: the character U+00A0 does not print"),
        ("FROM m\n\nREQUIRES >=0.14", "line 3: REQUIRES is a version such as 0.14.0, not '>="),
        ("FROM m\nREQUIRES 0.14.0.1", "line 2: REQUIRES is a version"),
        ("FROM m\nADAPTER", "line 2: a command must be one of"),
        ('FROM m\nLICENSE """MIT', 'line 2: the text that begins here with """ has no end'),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        modelfile.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('says """\nand goes on', 'SYSTEM: line 1 ends in """'),
        ('a\nsays """ \t\nand goes on', 'SYSTEM: line 2 ends in """'),
        ("a\u00a0b", "SYSTEM: the character U+00A0 does not print"),
        ("👩\u200d💻", "SYSTEM: the character U+200D does not print"),
        ("soft\u00adhyphen", "U+00AD"),
        ("a\x00b", "U+0000"),
        ("\ud800", "U+D800"),
    ],
)
def test_a_text_that_would_not_come_back_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        modelfile.render(Modelfile("m", system=text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"temprature": 1.0}, {"top_p": 1.5}, {"num_ctx": "4096"}, {"temperature": None}]
)
def test_a_wrong_parameter_is_not_written(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        modelfile.render(Modelfile("m", values))


def test_a_required_version_is_read_as_ollama_reads_it() -> None:
    assert modelfile.parse("FROM m\nREQUIRES v0.14.0").requires == "0.14.0"


@pytest.mark.parametrize(
    ("server", "wanted", "older"),
    [
        ("0.24.0", "0.24.0", False),
        ("0.9.6", "0.14.0", True),
        ("0.30.0-rc1", "0.30.0", True),
        ("0.30.1-rc1", "0.30.0", False),
        ("0.24.0", "1", True),
        ("0.0.0", "0.14.0", False),
        ("of today", "0.14.0", False),
    ],
)
def test_which_server_is_older(server: str, wanted: str, older: bool) -> None:
    assert is_older(server, wanted) is older


def test_the_recipes_block_keeps_only_what_was_set() -> None:
    text = '{"parameters": {"temperature": 1, "stop": ["a", "b"]}}'
    config = Config.model_validate_json(text)
    assert config.parameters.given() == {"temperature": 1.0, "stop": ("a", "b")}
    assert Config().parameters.given() == {}


@pytest.mark.parametrize(
    "block",
    [
        {"parameters": {"temprature": 1}},
        {"parameters": {"temperature": -1}},
        {"parameters": {"temperature": "hot"}},
        {"parameters": {"top_p": 1.01}},
        {"parameters": {"num_ctx": 0}},
        {"parameters": {"repeat_penalty": 0}},
        {"parameters": {"stop": "<end>"}},
        {"parameters": {"stop": [""]}},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"template": "own.gotmpl"},
    ],
)
def test_the_recipes_block_is_strict(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate_json(json.dumps(block))


def test_every_parameter_says_what_it_means() -> None:
    assert set(documentation(Parameters)) == set(Parameters.model_fields)


class Recorder(BaseHTTPRequestHandler):
    """Takes what `ollama create` would send to a server."""

    created: ClassVar[list[dict[str, Any]]] = []

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b'{"version": "0.24.0"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.path == "/api/create":
            self.created.append(json.loads(body))
        self._answer(b'{"status": "success"}\n')

    def _answer(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[str]:
    Recorder.created.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def sent_by_ollama(made: str, folder: Path, host: str) -> dict[str, Any]:
    program = ollama_server.binary()
    if program is None:
        missing("ollama", ollama_server.MISSING)
    file = folder / "Modelfile"
    file.write_text(made, encoding="utf-8", newline="")
    subprocess.run(
        [program, "create", "made", "-f", str(file)],
        env=ollama_server.environment(folder, host),
        check=True,
        capture_output=True,
        timeout=60,
    )
    return Recorder.created[-1]


def test_ollamas_own_parser_reads_what_we_wrote(tmp_path: Path, recorder: str) -> None:
    made = Modelfile(
        "some-model",
        {"temperature": 0.5, "top_k": 7, "num_predict": -1, "stop": tuple(filter(None, NASTY))},
        messages=tuple(Message("user", text) for text in NASTY),
        license=NASTY,
        requires="0.14.0",
    )
    sent = sent_by_ollama(modelfile.render(made), tmp_path, recorder)
    assert sent["from"] == "some-model"
    assert sent["parameters"] == {
        "temperature": 0.5,
        "top_k": 7,
        "num_predict": -1,
        "stop": list(filter(None, NASTY)),
    }
    assert [m["content"] for m in sent["messages"]] == list(NASTY)
    assert sent["license"] == list(NASTY)
    assert sent["requires"] == "0.14.0"


@pytest.mark.parametrize("text", [text for text in NASTY if text])
def test_ollamas_own_parser_reads_every_system_and_template(
    tmp_path: Path, recorder: str, text: str
) -> None:
    made = modelfile.render(Modelfile("some-model", system=text, template=text))
    sent = sent_by_ollama(made, tmp_path, recorder)
    assert (sent["system"], sent["template"]) == (text, text)


@pytest.mark.parametrize("text", ["a\u00a0b", "👩\u200d💻", 'says """\nSYSTEM gone'])
def test_the_refused_texts_would_really_have_been_changed(
    tmp_path: Path, recorder: str, text: str
) -> None:
    made = f'FROM some-model\nSYSTEM """{text}"""\n'
    try:
        sent = sent_by_ollama(made, tmp_path, recorder)
    except subprocess.CalledProcessError:
        return
    assert sent.get("system") != text
