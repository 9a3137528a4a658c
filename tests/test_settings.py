from pathlib import Path

import pytest

from jessy_build import settings

HOSTS = [
    # OLLAMA_HOST, where Ollama is asked
    ("", "http://127.0.0.1:11434"),
    ("127.0.0.1", "http://127.0.0.1:11434"),
    ("127.0.0.1:", "http://127.0.0.1:11434"),
    ("127.0.0.1:11500", "http://127.0.0.1:11500"),
    (":11500", "http://127.0.0.1:11500"),
    ("0.0.0.0", "http://127.0.0.1:11434"),
    ("0.0.0.0:8080", "http://127.0.0.1:8080"),
    ("http://0.0.0.0:8080/", "http://127.0.0.1:8080"),
    ("box.example", "http://box.example:11434"),
    ("box.example/ollama", "http://box.example:11434/ollama"),
    ("[::1]", "http://[::1]:11434"),
    ("[::1]:11500", "http://[::1]:11500"),
    # With a scheme the port is the scheme's own, as in Ollama.
    ("http://box.example", "http://box.example"),
    ("https://box.example:443/", "https://box.example:443"),
]


@pytest.mark.parametrize(("given", "asked"), HOSTS)
def test_ollamas_host_is_read_as_ollama_reads_it(given: str, asked: str, tmp_path: Path) -> None:
    here = settings.load(tmp_path / "recipe.yaml", env={"OLLAMA_HOST": given})
    assert here.ollama_host == asked
    assert settings.load(tmp_path / "recipe.yaml", env={}).ollama_host == settings.OLLAMA_DEFAULT


def test_keys_do_not_stand_in_the_settings_text(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "recipe.yaml", env={"ANTHROPIC_API_KEY": "sk-ant-test"})
    assert here.env["ANTHROPIC_API_KEY"] == "sk-ant-test"
    assert "sk-ant-test" not in repr(here)
