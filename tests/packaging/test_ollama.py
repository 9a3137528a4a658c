"""A deployment is whole or it has not happened: on loopback with faults, and on a real Ollama."""

import dataclasses
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.example import Message
from jessy_build.packaging import glance, modelfile, ollama
from jessy_build.packaging.modelfile import Modelfile
from tests import ollama_server as real
from tests.ollama_server import running_server  # noqa: F401
from tests.packaging.ollama_registry import Registry, serve

CHATML = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
SYSTEM = "Kısa ve samimi konuş."
ASKED = (Message("user", "selam, nasılsın? 🙂"),)
LONGER = (
    Message("user", "a"),
    Message("assistant", "b\n\nc"),
    Message("user", '{{ .System }} "ü"'),
)


def rendered(messages: tuple[Message, ...] | list[dict[str, str]]) -> str:
    turns = [
        (m["role"], m["content"]) if isinstance(m, dict) else (m.role, m.content) for m in messages
    ]
    text = "".join(
        f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in [("system", SYSTEM), *turns]
    )
    return text + "<|im_start|>assistant\n"


MADE = Modelfile(
    "./model.gguf",
    {"temperature": 0.6, "num_ctx": 2048, "stop": ("<|im_end|>",)},
    system=SYSTEM,
    template=CHATML,
)


def order(host: str, gguf: Path, **more: Any) -> ollama.Deployment:
    prompts = [(messages, rendered(messages)) for messages in (ASKED, LONGER)]
    said: dict[str, Any] = {
        "model": "jessy",
        "version": "v2",
        "modelfile": MADE,
        "expected_prompts": prompts,
    }
    return ollama.Deployment(host=host, gguf=gguf, **{**said, **more})


def quiet(done: int, total: int | None, text: str) -> None:
    pass


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 20_000)
    return path


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serve(Registry(rendered)) as running:
        yield running


BEFORE = {"jessy:v2": "a" * 64, "jessy:latest": "b" * 64, "other:latest": "c" * 64}
FAULTS = [
    ("upload drops", "broke off when asked to take the model file"),
    ("upload is refused at once", "refused to take the model file|broke off when asked to take"),
    ("digest mismatch", "refused to take the model file: digest mismatch"),
    ("create is refused", "refused to create the model: unsupported architecture"),
    ("create drops", "broke off when asked to create the model"),
    ("create fails in the middle", "refused to create the model: quantization is only supported"),
    ("create ends early", "ended without success; its last word was 'parsing GGUF'"),
    ("create breaks off", "broke off when asked to create the model"),
    ("another prompt", "from character .* on:\n  training .*assistant.*\n  Ollama .*model"),
    ("no proof", "does not show the prompts"),
    ("no answer", "refused to answer: model requires more system memory"),
    ("empty answer", "gives an empty answer"),
    ("first copy fails", "refused to copy to jessy:v2: disk trouble"),
    ("second copy fails", "refused to copy to jessy:latest: disk trouble"),
    ("second copy is another", "did not take over jessy:latest"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=[name for name, _ in FAULTS])
@pytest.mark.parametrize("before", [BEFORE, {}], ids=["with models", "empty"])
def test_a_fault_anywhere_leaves_what_is_live_as_it_was(
    registry: Registry, gguf: Path, before: dict[str, str], fault: str, said: str
) -> None:
    registry.tags = dict(before)
    registry.fault = fault
    with pytest.raises(StepError, match=said):
        ollama.deploy(order(registry.url, gguf), quiet)
    assert registry.tags == before


def test_a_server_that_goes_away_before_the_copy_keeps_what_is_live(
    registry: Registry, gguf: Path
) -> None:
    registry.tags = dict(BEFORE)
    registry.fault = "gone before the copy"
    with pytest.raises(StepError, match="broke off when asked to copy to jessy:v2"):
        ollama.deploy(order(registry.url, gguf), quiet)
    assert {name: registry.tags[name] for name in BEFORE} == BEFORE
    # Back again, the next deployment finds its leftovers and ends as if nothing had been.
    registry.dead, registry.fault = False, ""
    done = ollama.deploy(order(registry.url, gguf), quiet)
    now = {"jessy:v2": done.digest, "jessy:latest": done.digest}
    assert registry.tags == {**BEFORE, **now, "jessy:previous": BEFORE["jessy:latest"]}


def test_what_was_live_before_stays_even_where_its_tag_was_taken_over(
    registry: Registry, gguf: Path
) -> None:
    first = ollama.deploy(order(registry.url, gguf), quiet)
    assert registry.tags == {"jessy:v2": first.digest, "jessy:latest": first.digest}
    other = dataclasses.replace(MADE, parameters={"top_k": 1})
    second = ollama.deploy(order(registry.url, gguf, modelfile=other), quiet)
    now = {"jessy:v2": second.digest, "jessy:latest": second.digest}
    assert registry.tags == {**now, "jessy:previous": first.digest}
    # The same again takes nothing's place.
    assert ollama.deploy(order(registry.url, gguf, modelfile=other), quiet).problem == ""
    assert registry.tags == {**now, "jessy:previous": first.digest}


def test_a_way_back_that_cannot_be_kept_is_told_and_the_deploy_stands(
    registry: Registry, gguf: Path
) -> None:
    registry.tags = dict(BEFORE)
    registry.fault = "previous cannot be kept"
    done = ollama.deploy(order(registry.url, gguf), quiet)
    assert done.problem == "Ollama refused to copy to jessy:previous: disk trouble"
    assert registry.tags == {**BEFORE, "jessy:v2": done.digest, "jessy:latest": done.digest}


def test_an_interrupt_removes_the_candidate(registry: Registry, gguf: Path) -> None:
    registry.tags = dict(BEFORE)

    def interrupt(done: int, total: int | None, text: str) -> None:
        if text == "writing manifest":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ollama.deploy(order(registry.url, gguf), interrupt)
    assert registry.tags == BEFORE


def test_all_that_the_modelfile_says_reaches_the_server(registry: Registry, gguf: Path) -> None:
    made = Modelfile(
        "./model.gguf",
        {"stop": ("a", "b"), "top_k": 4},
        system=SYSTEM,
        template=CHATML,
        messages=(modelfile.Message("user", "x"), modelfile.Message("assistant", "y")),
        license=("Apache-2.0",),
        requires="0.14.0",
    )
    done = ollama.deploy(order(registry.url, gguf, modelfile=made, quantize=("q8_0",)), quiet)
    sha256 = hashlib.sha256(gguf.read_bytes()).hexdigest()
    assert registry.created == [
        {
            "model": "jessy:v2-candidate",
            "files": {"model.gguf": f"sha256:{sha256}"},
            "system": SYSTEM,
            "template": CHATML,
            "parameters": {"stop": ["a", "b"], "top_k": 4},
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
            "license": ["Apache-2.0"],
            "requires": "0.14.0",
            "quantize": "q8_0",
            "stream": True,
        }
    ]
    assert registry.tags == {"jessy:v2": done.digest, "jessy:latest": done.digest}
    assert (done.tag, done.server_version, done.answer) == ("jessy:v2", "0.24.0", "selam kanka")


def test_an_adapter_goes_beside_its_base(registry: Registry, gguf: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    adapter.write_bytes(b"GGUF and an adapter")
    ollama.deploy(order(registry.url, gguf, adapter=adapter), quiet)
    [body] = registry.created
    assert body["files"] == {"model.gguf": f"sha256:{digest.of_file(gguf)}"}
    assert body["adapters"] == {"adapter.gguf": f"sha256:{digest.of_file(adapter)}"}
    assert body["adapters"]["adapter.gguf"] in registry.blobs


def test_a_server_older_than_the_model_requires_is_refused(registry: Registry, gguf: Path) -> None:
    made = dataclasses.replace(MADE, requires="0.30.0")
    with pytest.raises(StepError, match=r"is 0\.24\.0, and the model requires 0\.30\.0") as caught:
        ollama.deploy(order(registry.url, gguf, modelfile=made), quiet)
    assert "modelfile.requires" in caught.value.hint
    assert not registry.blobs and not registry.created


def test_a_model_file_is_uploaded_once(registry: Registry, gguf: Path) -> None:
    said: list[tuple[int, int | None, str]] = []
    for version in ("v1", "v2"):
        ollama.deploy(order(registry.url, gguf, version=version), lambda *more: said.append(more))
    assert registry.count("POST /api/blobs/") == 1
    assert (
        registry.blobs[f"sha256:{hashlib.sha256(gguf.read_bytes()).hexdigest()}"]
        == gguf.read_bytes()
    )
    size = gguf.stat().st_size
    assert (size, size, "uploading the model") in said


def test_the_version_named_latest_is_deployed_too(registry: Registry, gguf: Path) -> None:
    done = ollama.deploy(order(registry.url, gguf, version="latest"), quiet)
    assert registry.tags == {"jessy:latest": done.digest}


@pytest.mark.parametrize(
    ("adds_bos", "bos", "in_training", "fits"),
    [
        (True, "<bos>", "<bos>", True),
        (True, "<bos>", "", False),
        (False, "<bos>", "", True),
        (False, "<bos>", "<bos>", False),
        (None, "<bos>", "<bos>", True),
        (None, "<bos>", "", True),
    ],
)
def test_a_bos_is_neither_lost_nor_doubled(
    registry: Registry, gguf: Path, adds_bos: bool | None, bos: str, in_training: str, fits: bool
) -> None:
    registry.adds_bos = adds_bos
    prompts = [(ASKED, in_training + rendered(ASKED))]
    made = order(registry.url, gguf, bos=bos, expected_prompts=prompts)
    if fits:
        ollama.deploy(made, quiet)
    else:
        with pytest.raises(StepError, match="another prompt than it was trained on"):
            ollama.deploy(made, quiet)


def test_without_a_prompt_nothing_is_proved_and_nothing_deployed(
    registry: Registry, gguf: Path
) -> None:
    with pytest.raises(ValueError, match="at least one expected prompt"):
        ollama.deploy(order(registry.url, gguf, expected_prompts=[]), quiet)
    assert registry.tags == {}


def test_where_two_prompts_part_stands_under_each_other(registry: Registry, gguf: Path) -> None:
    registry.fault = "another prompt"
    prompts = [(ASKED, rendered(ASKED).replace("Kısa", "日本 Kısa\t"))]
    said = order(registry.url, gguf, expected_prompts=prompts, template_file="turns.tmpl")
    with pytest.raises(StepError) as caught:
        ollama.deploy(said, quiet)
    first, training, sent, caret = caught.value.problem.splitlines()
    assert first.startswith("turns.tmpl: Ollama would send") and "from character 20 on" in first
    assert (
        training == r"  training  <|im_start|>system\n日本 Kısa\t ve samimi konuş.<|im_end|>\n<|im…"
    )
    assert sent.startswith(r"  Ollama    <|im_start|>system\nKısa ve samimi")
    assert caret == " " * len(r"  Ollama    <|im_start|>system\n") + "^"
    assert "turns.tmpl" in caught.value.hint

    longer = order(registry.url, gguf, expected_prompts=[(ASKED, rendered(ASKED) + "日本")])
    registry.fault = ""
    with pytest.raises(StepError, match=r"(?s)training  ….*日本\n  Ollama .*\(ends here\)"):
        ollama.deploy(longer, quiet)


def test_a_template_that_the_server_cannot_read_is_named(registry: Registry, gguf: Path) -> None:
    registry.fault = "create cannot read the template"
    with pytest.raises(StepError, match="refused to create the model: template error") as caught:
        ollama.deploy(order(registry.url, gguf, template_file="turns.tmpl"), quiet)
    assert caught.value.hint == "mend turns.tmpl, or write modelfile.template: auto"
    assert registry.tags == {}


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("jessy:v1", "v2"),
        ("", "v2"),
        ("je ssy", "v2"),
        ("a/b/c", "v2"),
        ("jessy", "v 2"),
        ("jessy", "x" * 75),
    ],
)
def test_a_name_that_ollama_does_not_take_is_refused_before_anything_is_sent(
    registry: Registry, gguf: Path, model: str, version: str
) -> None:
    with pytest.raises(StepError, match="that Ollama takes"):
        ollama.deploy(order(registry.url, gguf, model=model, version=version), quiet)
    assert registry.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "http://192.0.2.1:11434",
        "ollama.example",
        "http://127.0.0.1@192.0.2.1:1",
        "http://[2001:db8::1]",
    ],
)
def test_another_machine_is_refused_unless_named(gguf: Path, host: str) -> None:
    with pytest.raises(StepError, match="is not this machine"):
        ollama.deploy(order(host, gguf), quiet)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_this_machine_may_be_called_by_either_name(
    registry: Registry, gguf: Path, name: str
) -> None:
    host = registry.url.replace("127.0.0.1", name).removeprefix("http://")
    assert ollama.deploy(order(host, gguf), quiet).tag == "jessy:v2"


def test_no_server_is_said_with_what_to_do(gguf: Path) -> None:
    with pytest.raises(StepError, match=r"no Ollama answers at http://127\.0\.0\.1:9") as caught:
        ollama.deploy(order("http://127.0.0.1:9", gguf), quiet)
    assert "ollama serve" in caught.value.hint


def test_serving_tells_the_digest_of_the_tag_or_none(registry: Registry) -> None:
    registry.tags = dict(BEFORE)
    assert glance.serving(registry.url, "jessy:v2") == "a" * 64
    assert glance.serving(registry.url, "jessy:v3") is None
    assert glance.serving("http://127.0.0.1:9", "jessy:v2") is None
    assert glance.version(registry.url) == "0.24.0"
    assert glance.version("http://127.0.0.1:9") is None


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("box.example", "http://box.example:11434"),
        ("box.example:8080/ollama/", "http://box.example:8080/ollama"),
        # With a scheme the port is the scheme's own, as in Ollama.
        ("http://box.example", "http://box.example:80"),
        ("https://name:secret@box.example", "https://box.example:443"),
        ("http://[::1]:11500", "http://[::1]:11500"),
    ],
)
def test_a_host_is_read_as_ollama_reads_it(host: str, asked: str) -> None:
    assert glance.split(host).geturl() == asked


def test_a_host_that_is_none_is_one_where_nobody_answers() -> None:
    assert glance.version("http://127.0.0.1:port") is None
    assert not glance.listens("http://[::1")


def test_a_server_that_accepts_and_stays_silent_costs_the_timeout_and_no_more() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = time.perf_counter()
        assert glance.serving(f"http://127.0.0.1:{mute.getsockname()[1]}", "x", timeout=0.2) is None
        assert time.perf_counter() - started < 2


def test_asking_what_is_served_imports_no_http_library_and_no_pydantic() -> None:
    heavy = ("ollama", "httpx", "pydantic", "numpy", "anyio", "http.client", "email")
    code = (
        "import sys; from jessy_build.packaging import glance;"
        "glance.serving('http://127.0.0.1:9', 'x');"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# From here on with a real Ollama and a real model.


@pytest.fixture
def smollm2(real_bases: Any) -> Path:
    return Path(real_bases.smollm2)


def shown(host: str, tag: str) -> dict[str, Any]:
    connection = HTTPConnection(host.removeprefix("http://"), timeout=30)
    connection.request("POST", "/api/show", json.dumps({"model": tag}))
    return dict(json.loads(connection.getresponse().read()))


@pytest.mark.real
def test_a_real_deployment_goes_live_and_a_failed_one_changes_nothing(
    ollama_server: str,
    smollm2: Path,
    tmp_path: Path,
) -> None:
    done = ollama.deploy(order(ollama_server, smollm2, bos="<|im_start|>"), quiet)
    assert done.answer
    assert glance.serving(ollama_server, "jessy:v2") == done.digest
    assert glance.serving(ollama_server, "jessy:latest") == done.digest
    live = shown(ollama_server, "jessy:v2")
    assert (live["system"], live["template"]) == (SYSTEM, CHATML)

    # The same again is the same again: nothing is uploaded, the digest stays.
    said: list[str] = []
    again = ollama.deploy(
        order(ollama_server, smollm2, bos="<|im_start|>"), lambda d, t, text: said.append(text)
    )
    assert again.digest == done.digest
    assert "uploading the model" not in said

    # A template that renders otherwise is found by the server's own words.
    other = Modelfile(
        "./m.gguf", MADE.parameters, system=SYSTEM, template=CHATML.replace(".Role", '"x"')
    )
    with pytest.raises(StepError, match="another prompt than it was trained on"):
        ollama.deploy(order(ollama_server, smollm2, modelfile=other), quiet)

    # A file that was cut short is found by the server before it is served.
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(smollm2.read_bytes()[: 40 << 20])
    with pytest.raises(StepError, match=r"refused to create .* exceeds file size"):
        ollama.deploy(order(ollama_server, broken), quiet)

    # Neither did anything to what is live, nor left a candidate behind.
    assert glance.serving(ollama_server, "jessy:v2") == done.digest
    assert glance.serving(ollama_server, "jessy:v2-candidate") is None
    assert shown(ollama_server, "jessy:v2")["template"] == CHATML


@pytest.mark.real
def test_few_shot_turns_and_system_are_in_the_prompt_that_the_server_sends(
    ollama_server: str,
    smollm2: Path,
) -> None:
    turns = (modelfile.Message("user", "naber"), modelfile.Message("assistant", "iyi, senden?"))
    made = Modelfile("./m.gguf", MADE.parameters, system=SYSTEM, template=CHATML, messages=turns)
    given = tuple(Message(turn.role, turn.content) for turn in turns)
    prompts = [(ASKED, rendered((*given, *ASKED)))]
    done = ollama.deploy(
        order(ollama_server, smollm2, model="few", modelfile=made, expected_prompts=prompts), quiet
    )
    assert glance.serving(ollama_server, "few:v2") == done.digest


@pytest.mark.real
def test_a_folder_with_our_modelfile_is_what_ollama_create_takes(
    ollama_server: str,
    smollm2: Path,
    tmp_path: Path,
) -> None:
    shutil.copyfile(smollm2, tmp_path / "model.gguf")
    (tmp_path / "Modelfile").write_text(modelfile.render(MADE), encoding="utf-8")
    program = real.binary()
    assert program is not None
    subprocess.run(
        [program, "create", "by-hand", "-f", str(tmp_path / "Modelfile")],
        env=real.environment(tmp_path / "home", ollama_server),
        check=True,
        capture_output=True,
        timeout=120,
    )
    live = shown(ollama_server, "by-hand")
    assert (live["system"], live["template"]) == (SYSTEM, CHATML)
    ollama.deploy(order(ollama_server, smollm2, model="by-deploy"), quiet)
    # The server lists them in another order each time.
    deployed = shown(ollama_server, "by-deploy:v2")
    assert sorted(deployed["parameters"].split("\n")) == sorted(live["parameters"].split("\n"))
