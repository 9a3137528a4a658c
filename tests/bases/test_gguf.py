"""A GGUF file of one's own becomes a copy that later edits do not reach."""

import hashlib
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from tests.bases.ordering import GGUF, Ordering


def test_the_file_is_copied_and_not_linked(tmp_path: Path) -> None:
    original = tmp_path / "mine.gguf"
    original.write_bytes(GGUF)
    order = Ordering(tmp_path)
    fetched = order.fetch("gguf:./mine.gguf", sha256=hashlib.sha256(GGUF).hexdigest())
    with original.open("r+b") as file:
        file.write(b"edited in place")
    assert fetched.kind == "gguf"
    assert fetched.path.read_bytes() == GGUF
    assert order.left() == ["model.gguf"]
    assert order.progress[-1] == (len(GGUF), len(GGUF), "copying the base")


def test_a_wrong_sha256_keeps_nothing_and_names_both(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(GGUF)
    order = Ordering(tmp_path)
    with pytest.raises(StepError) as caught:
        order.fetch("gguf:mine.gguf", sha256="0" * 64)
    assert f"expected {'0' * 64}, got {hashlib.sha256(GGUF).hexdigest()}" in caught.value.problem
    assert order.left() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is not there"), (b"PK\x03\x04 a zip", "is no GGUF file"), (b"", "is no GGUF file")],
)
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "mine.gguf").write_bytes(content)
    order = Ordering(tmp_path)
    with pytest.raises(StepError, match=said):
        order.fetch("gguf:mine.gguf")
    assert order.left() == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(StepError, match="is a folder"):
        Ordering(tmp_path).fetch("gguf:mine")


def test_a_stop_in_the_middle_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(GGUF + bytes(3 << 20))
    order = Ordering(tmp_path)
    order.cancelled = lambda: len(order.progress) == 2
    with pytest.raises(KeyboardInterrupt):
        order.fetch("gguf:mine.gguf")
    assert order.left() == []


def test_a_full_or_forbidden_disk_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(GGUF)
    order = Ordering(tmp_path)
    (order.out / "model.partial").mkdir(parents=True)
    with pytest.raises(StepError, match="could not be written to"):
        order.fetch("gguf:mine.gguf")
