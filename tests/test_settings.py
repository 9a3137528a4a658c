from pathlib import Path

import pytest

from jessy_build import settings
from jessy_build.diagnostics import UsageError

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


@pytest.mark.parametrize(
    ("given", "taken"),
    [("", None), ("24GB", 24_000_000_000), ("1.5 tb", 1_500_000_000_000), ("4096", 4096)],
)
def test_a_machine_can_be_said_to_have_another_memory(
    given: str, taken: int | None, tmp_path: Path
) -> None:
    assert settings.load(tmp_path / "recipe.yaml", env={"JESSY_MEMORY": given}).memory == taken


@pytest.mark.parametrize("given", ["much", "-1GB", "1 GiB", "GB"])
def test_what_is_no_size_is_refused_with_an_example(given: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no size") as refused:
        settings.load(tmp_path / "recipe.yaml", env={"JESSY_MEMORY": given})
    assert "JESSY_MEMORY=24GB" in refused.value.hint


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("", ()),
        ("1", ()),
        ("127.0.0.1", ()),
        (" 2 ", ("127.0.0.1",) * 2),
        ("localhost, mac-studio.local", ("127.0.0.1", "mac-studio.local")),
        ("127.0.0.1,10.0.0.2,me@10.0.0.3", ("127.0.0.1", "10.0.0.2", "me@10.0.0.3")),
    ],
)
def test_a_training_may_have_several_processes_or_machines(
    given: str, taken: tuple[str, ...], tmp_path: Path
) -> None:
    env = {"JESSY_TRAIN_DISTRIBUTED": given}
    assert settings.load(tmp_path / "recipe.yaml", env=env).distributed == taken


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("0", "'0' is neither a host nor a number from 1 to 64"),
        ("65", "'65' is neither a host nor a number"),
        ("127.0.0.1,", "'' is neither a host"),
        ("127.0.0.1,-oProxyCommand=x", "'-oProxyCommand=x' is neither a host"),
        ("127.0.0.1,me@-x", "'me@-x' is neither a host"),
        ("127.0.0.1,a b", "'a b' is neither a host"),
        ("127.0.0.1,$(x)", "'$(x)' is neither a host"),
        ("mac-studio.local,127.0.0.1", "begins with 'mac-studio.local'; the first one is this"),
        (",".join(["127.0.0.1"] * 65), "which are 65 hosts"),
    ],
)
def test_what_names_no_hosts_is_refused_with_an_example(
    given: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        settings.load(tmp_path / "recipe.yaml", env={"JESSY_TRAIN_DISTRIBUTED": given})
    assert problem in refused.value.problem
    assert "JESSY_TRAIN_DISTRIBUTED=2" in refused.value.hint


def test_keys_do_not_stand_in_the_settings_text(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "recipe.yaml", env={"ANTHROPIC_API_KEY": "sk-ant-test"})
    assert here.env["ANTHROPIC_API_KEY"] == "sk-ant-test"
    assert "sk-ant-test" not in repr(here)
