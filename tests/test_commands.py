"""Every command as a new user meets it, and as a script does: words, streams and exit codes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jessy_build.commands import COMMANDS, named
from tests.loopback.ollama_models import ModelServer
from tests.steps.project import REPOSITORY, SIGINT, Project, Ran

OTHER = "train.lora.rank=2"

BUILT = (
    "check recipe.yaml",
    "preview recipe.yaml",
    "plan recipe.yaml",
    f"plan recipe.yaml --set {OTHER}",
    f"plan recipe.yaml --set {OTHER} -o saved.json",
    "chat recipe.yaml --prompt hello",
    "status recipe.yaml",
    "status",
    "why recipe.yaml",
    "why recipe.yaml train",
    "why recipe.yaml rows.jsonl:1",
    "history tiny",
    "show rows.jsonl:1",
    "gc --dry-run",
    "report recipe.yaml",
    "bases",
    "bases recipe.yaml",
    "doctor",
    "schema",
    "schema lock",
    "init fresh",
)
"""What ends with 0 once the project is built."""

REFUSED = {
    # Words that mean nothing, or contradict each other: 2.
    "": 2,
    "nosuch": 2,
    "plan": 2,
    "build": 2,
    "plan nothing.yaml": 2,
    "preview nothing.yaml": 2,
    "preview recipe.yaml nope": 2,
    "preview recipe.yaml -n 0": 2,
    "preview recipe.yaml --tokens --ask": 2,
    "plan .": 2,
    "build base": 2,
    "check rows.jsonl": 2,
    "check recipe.lock.yaml": 2,
    "check /dev/null": 2,
    "status nothing.yaml": 2,
    "report nothing.yaml": 2,
    "chat nothing.yaml": 2,
    "diff nothing.yaml recipe.yaml": 2,
    "plan recipe.yaml --set train.lora.rnk=2": 2,
    "plan recipe.yaml --set foo": 2,
    "plan recipe.yaml --scale 2": 2,
    "plan recipe.yaml --until nope": 2,
    "build recipe.yaml --until nope": 2,
    "plan recipe.yaml --variant nope": 2,
    "build recipe.yaml --plan saved.json": 2,
    "diff recipe.yaml recipe.yaml --md --html": 2,
    "status --variant nope": 2,
    "schema lock --md": 2,
    "schema nope": 2,
    "bases nothing.yaml": 2,
    "gc --keep-last 0": 2,
    "gc --answers-older-than never": 2,
    # What was asked for is not there: 1.
    "diff build:99 recipe.yaml": 1,
    "diff ollama:nope recipe.yaml": 1,
    "diff HEAD~1:recipe.yaml recipe.yaml": 1,
    "review nothing.yaml": 2,
    "review recipe.yaml --scale 0.5": 1,
    "rollback nothing.yaml": 2,
    "rollback recipe.yaml": 1,
    "rollback recipe.yaml --to v0": 1,
    "why nothing.yaml": 1,
    "why recipe.yaml nope": 1,
    "why recipe.yaml --variant nope": 1,
    "history nope": 1,
    "show nope": 1,
    "show rows.jsonl:999": 1,
    "build --plan nothing.json": 1,
    "build --plan rows.jsonl": 1,
    "plan recipe.yaml -o nowhere/saved.json": 1,
    "plan recipe.yaml -o .": 1,
    "report recipe.yaml --scale 0.5": 1,
    "chat recipe.yaml --scale 0.5": 1,
    "init base": 1,
    "init recipe.yaml": 1,
    "init recipe.yaml/below": 1,
}


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.make(tmp_path_factory.mktemp("commands") / "p", tiny_model)
    done = project.run("build", "recipe.yaml", OLLAMA_HOST="http://127.0.0.1:9")
    assert done.code == 0, done.out + done.err
    return project


@pytest.fixture
def bare(tiny_model: Path, tmp_path: Path) -> Project:
    """A project in which nothing was built yet."""
    return Project.make(tmp_path / "p", tiny_model)


def said(project: Project, line: str, **env: str) -> Ran:
    done = project.run(*shlex.split(line), **env)
    assert "Traceback" not in done.out + done.err, done.err
    assert done.code != 3, done.err
    return done


def interrupted(project: Project, line: str) -> Ran:
    """What works until Ctrl-C."""
    return project.interrupt_when(tuple(shlex.split(line)), "Ctrl-C", SIGINT)


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(name: str) -> None:
    command = named(name)
    assert command.EXAMPLE.startswith(f"jessy {name}")
    assert not command.HELP.endswith("."), "it stands in a list, too"


def test_every_example_works_as_printed_where_the_recipe_it_names_was_built(
    bare: Project,
) -> None:
    project = bare
    (project.root / "recipes").mkdir()
    text = (project.root / "recipe.yaml").read_text().replace('"path:base"', '"path:../base"')
    text = text.replace("name: tiny", "name: quickstart").replace("rows.jsonl", "curated/*.jsonl")
    (project.root / "recipes/quickstart.yaml").write_text(text)
    (project.root / "recipes/curated").mkdir()
    (project.root / "rows.jsonl").rename(project.root / "recipes/curated/smalltalk.jsonl")
    assert said(project, "build recipes/quickstart.yaml").code == 0
    for name, example in ((n, e) for n in COMMANDS for e in named(n).EXAMPLE.splitlines()):
        words = example.strip().removeprefix("jessy ")
        words = words.replace(" --open", "").partition(" >")[0]
        if name == "rollback":
            done = rolled_back(project, words)
        else:
            done = said(project, words) if name != "review" else interrupted(project, words)
        assert done.code == 0, f"jessy {words}\n{done.out}{done.err}"


def rolled_back(project: Project, words: str) -> Ran:
    """Where a server has something to go back to."""
    with ModelServer() as server:
        server.models = {"tiny:latest": "b" * 64, "tiny:v1": "b" * 64, "tiny:previous": "a" * 64}
        return said(project, words, OLLAMA_HOST=server.url)


def test_without_a_word_the_help_is_shown(tmp_path: Path) -> None:
    done = said(Project(tmp_path), "")
    assert done.out == "" and "jessy init my-persona" in done.err


def test_schema_offers_exactly_the_schemas_there_are() -> None:
    from jessy_build.commands import schema
    from jessy_build.steps.schemas import SCHEMAS

    assert sorted(schema.NAMES) == sorted(SCHEMAS)


# Scripts


@pytest.mark.parametrize("line", BUILT)
def test_json_is_one_document_and_nothing_else(line: str, built: Project) -> None:
    words = line.replace("init fresh", "init fresh-json")
    done = said(built, f"{words} --json")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1
    assert isinstance(json.loads(done.out), dict)


@pytest.mark.parametrize("line", BUILT)
def test_what_is_asked_for_goes_to_the_output_alone(line: str, built: Project) -> None:
    done = said(built, line)
    assert (done.code, done.err) == (0, "") and done.out


def test_a_build_with_json_is_one_document_a_line(built: Project) -> None:
    done = said(built, "build recipe.yaml --json")
    assert done.code == 0 and done.err == ""
    events = [json.loads(line)["event"] for line in done.out.splitlines()]
    assert events[0] == "build_started" and events[-1] == "build_finished"


def test_a_diff_with_json_is_one_document_and_ends_with_10(built: Project) -> None:
    done = said(built, f"diff build:1 recipe.yaml --set {OTHER} --json")
    assert done.code == 10 and not json.loads(done.out)["same"]


def test_a_plan_ends_with_10_only_when_asked_and_when_something_would_run(built: Project) -> None:
    assert said(built, "plan recipe.yaml --exit-code").code == 0
    assert said(built, f"plan recipe.yaml --set {OTHER} --exit-code").code == 10
    assert said(built, f"plan recipe.yaml --set {OTHER}").code == 0


@pytest.mark.parametrize(("line", "code"), REFUSED.items())
def test_a_refusal_says_what_is_wrong_on_the_error_stream(
    line: str, code: int, built: Project
) -> None:
    done = said(built, line)
    assert done.code == code, done.out + done.err
    assert done.out == "" and done.err


@pytest.mark.parametrize("line", [line for line, code in REFUSED.items() if code == 1])
def test_a_refusal_with_json_is_one_document(line: str, built: Project) -> None:
    done = said(built, f"{line} --json")
    assert done.code == 1 and done.err == ""
    assert json.loads(done.out)["problem"]


# No store, or none that can be used


@pytest.mark.parametrize(
    "line", ["why recipe.yaml", "history tiny", "show rows.jsonl:1", "status", "gc"]
)
def test_before_the_first_build_there_is_nothing_to_look_back_at(line: str, bare: Project) -> None:
    done = said(bare, line)
    assert done.code == 1 and "nothing was built here yet" in done.err
    assert not (bare.root / ".jessy").exists(), "to ask makes no store"


@pytest.mark.parametrize("line", ["why recipe.yaml", "history tiny"])
def test_a_store_in_which_nothing_was_built_names_nothing_that_was(
    line: str, bare: Project
) -> None:
    assert said(bare, "plan recipe.yaml").code == 0
    done = said(bare, line)
    assert done.code == 1 and "hint: nothing was built here yet" in done.err


@pytest.mark.parametrize("line", ["plan recipe.yaml", "build recipe.yaml", "status recipe.yaml"])
def test_a_store_that_cannot_be_made_says_how_to_move_it(line: str, bare: Project) -> None:
    done = said(bare, line, JESSY_STORE=str(bare.root / "rows.jsonl"))
    assert done.code == 1 and "set JESSY_STORE to a folder you may write to" in done.err


def test_doctor_says_that_the_store_cannot_be_written(bare: Project) -> None:
    done = said(bare, "doctor", JESSY_STORE=str(bare.root / "rows.jsonl"))
    assert done.code == 1 and "rows.jsonl cannot be written" in done.out


def test_doctor_says_that_mlx_finds_no_driver(bare: Project) -> None:
    stub = bare.root / "site"
    (stub / "mlx").mkdir(parents=True)
    (stub / "mlx_cuda_13-0.32.dist-info").mkdir()
    (stub / "mlx" / "__init__.py").write_text(
        "raise ImportError('libcuda.so.1: cannot open shared object')"
    )
    done = said(bare, "doctor", PYTHONPATH=f"{stub}{os.pathsep}{REPOSITORY}")
    assert "does not start here: libcuda.so.1" in done.out
    assert "NVIDIA's driver" in done.out and "the GPU multiplies" in done.out


def test_doctor_needs_no_store_yet(bare: Project) -> None:
    assert said(bare, "doctor").code == 0


# Streams


def said_to_nobody(project: Project, *words: str) -> "subprocess.CompletedProcess[str]":
    """Its output goes into a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            project.command(*words),
            cwd=project.root,
            env=project.environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("line", [*BUILT[:-1], "--help", "schema --md"])
def test_a_reader_that_has_read_enough_is_no_trouble(line: str, built: Project) -> None:
    process = said_to_nobody(built, *shlex.split(line))
    assert (process.returncode, process.stderr) == (0, "")


def test_a_build_that_nobody_reads_on_does_not_end_as_if_it_were_whole(bare: Project) -> None:
    process = said_to_nobody(bare, "build", "recipe.yaml")
    assert process.returncode == 1
    assert process.stderr.startswith("error: nobody reads on what the build says")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
@pytest.mark.parametrize(
    ("line", "code"),
    [("plan recipe.yaml", 0), ("plan recipe.yaml --full", 0), ("plan nothing.yaml", 2)],
)
def test_a_closed_stream_changes_no_exit_code(
    line: str, code: int, closed: str, built: Project
) -> None:
    script = f"{shlex.join([sys.executable, '-m', 'jessy_build'])} {line} {closed}"
    process = subprocess.run(
        ["sh", "-c", script], cwd=built.root, env=built.environment(), capture_output=True
    )
    assert process.returncode == code, process.stderr
    assert b"Traceback" not in process.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("line", ["plan recipe.yaml", "plan recipe.yaml --full", "schema"])
def test_an_output_that_is_full_is_told(line: str, built: Project) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            built.command(*line.split()),
            cwd=built.root,
            env=built.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode == 1 and process.stderr.startswith("error: no space is left")


ASCII = {"PYTHONIOENCODING": "ascii"}
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.mark.parametrize("env", [ASCII, C], ids=["ascii", "C"])
@pytest.mark.parametrize(
    "line", [*BUILT[:-1], "build recipe.yaml", f"diff build:1 recipe.yaml --set {OTHER}"]
)
def test_a_terminal_that_knows_ascii_alone_is_spoken_to_in_ascii(
    line: str, env: dict[str, str], built: Project
) -> None:
    done = said(built, line, **env)
    assert done.code in (0, 10), done.err
    assert done.out.isascii() and done.err.isascii()
    if not line.startswith(("chat", "schema")):
        assert not re.search(r"(?<!\w)\?", done.out), "a sign of ours that has no plain form"


def test_json_stays_true_where_only_ascii_can_be_written(built: Project) -> None:
    plain = said(built, "show rows.jsonl:1 --json", PYTHONIOENCODING="utf-8").out
    bare = said(built, "show rows.jsonl:1 --json", PYTHONIOENCODING="ascii").out
    assert json.loads(plain) == json.loads(bare) and bare.isascii()


def test_a_recipe_whose_name_is_no_text_is_refused_like_any_other(built: Project) -> None:
    command = [os.fsencode(word) for word in built.command("check")]
    process = subprocess.run(
        [*command, b"\xff.yaml"], cwd=built.root, env=built.environment(), capture_output=True
    )
    assert process.returncode == 2 and b"does not exist" in process.stderr


@pytest.mark.parametrize("line", [*BUILT[:-1], f"diff build:1 recipe.yaml --set {OTHER}"])
def test_no_colour_where_nobody_looks_and_none_where_it_is_not_wanted(
    line: str, built: Project
) -> None:
    assert "\x1b" not in said(built, line).out
    assert "\x1b" not in said(built, line, NO_COLOR="1", FORCE_COLOR="1").out


# Words


def test_a_value_from_the_command_line_is_placed_there(built: Project) -> None:
    plan = said(built, f"plan recipe.yaml --set {OTHER}").out
    assert re.search(r"train\.lora\.rank: 4 → 2   --set$", plan, re.MULTILINE), plan


def test_a_plan_counts_what_there_is_and_nothing_else(bare: Project, built: Project) -> None:
    assert said(bare, "plan recipe.yaml").out.splitlines()[-1] == "13 to run"
    last = said(built, f"plan recipe.yaml --set {OTHER}").out.splitlines()[-1]
    assert re.fullmatch(r"2 to run, 5 may run, 6 cached · ≈ \S+s, \S+s if all of it runs", last), (
        last
    )


def test_a_stale_plan_says_the_command_that_makes_it_again(bare: Project) -> None:
    assert said(bare, f"plan recipe.yaml --set {OTHER} -o saved.json").code == 0
    bare.edit("epochs: 2", "epochs: 1")
    done = said(bare, "build --plan saved.json")
    assert done.code == 2 and "train.epochs: 2 → 1" in done.err
    assert f"just plan recipe.yaml --set {OTHER} -o saved.json" in done.err


def test_the_commands_are_those_of_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in set(COMMANDS) - {"schema"}:
        assert re.search(rf"`[^`\n]*\b{name}\b", readme), name


def test_a_chat_in_which_nothing_is_asked_ends(built: Project) -> None:
    """Several at once: a llama.cpp that is closed while it still begins used to hang."""
    chats = [
        subprocess.Popen(
            built.command("chat", "recipe.yaml"),
            cwd=built.root,
            env=built.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    try:
        assert [chat.wait(timeout=60) for chat in chats] == [0] * len(chats)
    finally:
        for chat in chats:
            chat.kill()
