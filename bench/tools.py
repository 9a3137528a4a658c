"""Other build tools, each in an environment of its own below the user's cache; never our own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from timing import Command

TASKS = 6
QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Tool:
    package: str
    prepare: Callable[[Path], None]
    """Writes a chain of so many file-to-file tasks into a folder."""
    build: tuple[str, ...]
    said: str = ""
    """What it prints when there is nothing to do."""
    first: tuple[tuple[str, ...], ...] = ()
    """Commands that make the folder its project."""
    env: Mapping[str, str] = field(default_factory=dict)


def noop_of(name: str, folder: Path, tasks: int = TASKS) -> Command:
    """A project of that tool in which everything is built already."""
    tool, bin = TOOLS[name], installed(name) / "bin"
    folder.mkdir()
    (folder / "a0").write_text("begin\n")
    tool.prepare(folder)
    env = {**os.environ, **QUIET, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    for words in (*tool.first, tool.build):
        program = [str(bin / words[0]), *words[1:]]
        subprocess.run(program, cwd=folder, env=env, check=True, capture_output=True)
    assert (folder / f"a{tasks}").read_text() == "begin\n"
    return Command([str(bin / tool.build[0]), *tool.build[1:]], folder, env, said=tool.said)


def installed(name: str) -> Path:
    """The tool's own environment, made with its .pyc files on first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    venv = cache / "jessy-build" / "bench" / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
    if not (venv / "ready").exists():
        print(f"  installing {name} into an environment of its own …", flush=True)
        subprocess.run(["uv", "venv", "-q", "--clear", "-p", sys.executable, venv], check=True)
        install = ["uv", "pip", "install", "-q", "--compile-bytecode", "--python", venv]
        subprocess.run([*install, TOOLS[name].package], check=True)
        (venv / "ready").touch()
    return venv


def version(name: str) -> str:
    words = ["uv", "pip", "list", "--format=freeze", "--python", installed(name)]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    found = dict(line.split("==") for line in lines if "==" in line)
    return found[TOOLS[name].package]


def _doit(folder: Path) -> None:
    (folder / "dodo.py").write_text(
        f"""\
def task_copy():
    for n in range({TASKS}):
        yield {{
            "name": str(n),
            "actions": [f"cp a{{n}} a{{n + 1}}"],
            "file_dep": [f"a{{n}}"],
            "targets": [f"a{{n + 1}}"],
        }}
"""
    )


def _dvc(folder: Path) -> None:
    stages = "".join(
        f"  copy{n}:\n    cmd: cp a{n} a{n + 1}\n    deps: [a{n}]\n    outs: [a{n + 1}]\n"
        for n in range(TASKS)
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")


def _snakemake(folder: Path) -> None:
    rules = "".join(
        f'rule copy{n}:\n    input: "a{n}"\n    output: "a{n + 1}"\n'
        '    shell: "cp {input} {output}"\n'
        for n in range(TASKS)
    )
    (folder / "Snakefile").write_text(f'rule all:\n    input: "a{TASKS}"\n{rules}')


TOOLS: Mapping[str, Tool] = {
    "doit": Tool("doit", _doit, ("doit",), said="-- copy:0"),
    "dvc": Tool(
        "dvc", _dvc, ("dvc", "repro"), said="up to date", first=(("dvc", "init", "--no-scm"),)
    ),
    "snakemake": Tool("snakemake", _snakemake, ("snakemake", "-c1"), said="Nothing to be done"),
}
