"""The world says no: one clear message each, nothing lost, and the next build goes on."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.required import missing
from tests.steps.project import REPOSITORY, Project
from tests.trainers import limited


def test_a_base_with_another_hash_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    (project.root / "base.gguf").write_bytes(b"GGUF but not the one that was meant")
    wrong = "0" * 64
    project.edit('{model: "path:base"}', f'{{model: "gguf:base.gguf", sha256: "{wrong}"}}')
    done = project.run("build", "recipe.yaml")
    assert done.code == 1
    assert wrong[:12] in done.err and "Traceback" not in done.err
    assert "recipe.yaml:4" in done.err, "the line that names the base"
    assert not list((project.root / ".jessy" / "objects").rglob("*gguf*"))
    assert "generate:smalltalk" in done.ran, "what does not need the base is finished"


@pytest.mark.parametrize(
    "place", ["builds", "builds/tiny/v1", ".jessy/objects", ".jessy/locks", ".jessy/running"]
)
def test_a_file_where_a_folder_should_be_is_named(
    place: str, tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    (project.root / place).parent.mkdir(parents=True, exist_ok=True)
    (project.root / place).touch()
    done = project.run("build", "recipe.yaml", "--until", "assemble")
    assert (done.code, "jessy-build" in done.err) == (1, False)
    assert str(project.root / place) in done.err


def test_a_folder_where_a_result_should_be_is_named(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    result = project.root / "builds/tiny/v1/dataset/train.jsonl"
    result.mkdir(parents=True)
    done = project.run("build", "recipe.yaml", "--until", "assemble")
    assert (done.code, done.err.splitlines()[0]) == (1, f"error: Is a directory: {result}")


def test_a_folder_that_is_gone_is_told(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    for command in ("status", "gc", "doctor"):
        gone = tmp_path / "gone"
        gone.mkdir()
        done = subprocess.run(
            ["sh", "-c", f'rmdir "{gone}" && exec "$@"', "sh", *project.command(command)],
            cwd=gone,
            env=project.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, "the folder that you are in is gone" in done.stderr) == (1, True)


def test_no_network_is_said_at_once(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    project.edit(
        '{model: "path:base"}', f'{{model: "pypi:nothing==1.0#x/y.gguf", sha256: "{"1" * 64}"}}'
    )
    done = project.run("build", "recipe.yaml", JESSY_OFFLINE="1")
    assert done.code == 1
    assert "offline" in done.err.lower() and "Traceback" not in done.err


def test_a_full_disk_stops_with_a_message_and_the_next_build_goes_on(
    tmp_path: Path, tiny_model: Path
) -> None:
    """On a real file system of 1 MB, mounted for this test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    )
    if mounted.returncode:
        missing("mount", "a small file system cannot be mounted here (needs root)")
    try:
        project = Project.make(tmp_path / "p", tiny_model)
        full = project.run("build", "recipe.yaml", JESSY_STORE=str(disk))
        assert full.code == 1, full.out + full.err
        assert "no space is left on the disk" in full.err
        assert "Traceback" not in full.out + full.err
        finished = set(full.ran)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        again = project.run("build", "recipe.yaml", JESSY_STORE=str(disk))
        assert again.code == 0, again.out + again.err
        assert finished.isdisjoint(again.ran), "what was finished is not done again"
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    done = project.run("build", "recipe.yaml", JESSY_STORE=str(closed / "store"))
    assert done.code == 1 and "JESSY_STORE" in done.err


def test_a_damaged_base_in_the_store_is_named_and_mended(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    assert project.run("build", "recipe.yaml", "--until", "convert").code == 0
    objects = (project.root / ".jessy/objects").rglob("*")
    largest = max((p for p in objects if p.is_file()), key=lambda p: p.stat().st_size)
    largest.chmod(0o644)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    plan = project.run("plan", "recipe.yaml")
    assert "was damaged" in plan.out
    done = project.run("build", "recipe.yaml", "--until", "gguf")
    assert done.code == 0 and "fetch" in done.ran


def test_a_training_that_runs_out_of_memory_goes_on_and_everything_says_so(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    limited.limit(tmp_path, rows=2, spared=3)
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    built = project.run("build", "recipe.yaml", PYTHONPATH=path)
    assert built.code == 0, built.err
    said = "went on with half batches and twice the accumulation (1 → 2)"
    (note,) = (line for line in built.out.splitlines() if said in line)
    assert note.split()[:2] == ["train", "note"]
    (done,) = (line for line in built.out.splitlines() if line.startswith("✓ train "))
    (step,) = re.findall(r"half batches since memory ran out at step (\d+)$", done)
    assert f"out of memory after step {step}: " in note
    page = (project.root / "builds/tiny/v1/report.html").read_text()
    assert f"Out of memory after step {step}: {said}." in page
    words = ("--until", "train", "--set", "train.seed=7", "--json")
    again = project.run("build", "recipe.yaml", *words, PYTHONPATH=path)
    events = [json.loads(line) for line in again.out.splitlines()]
    told = {e["event"]: e for e in events if e.get("step") == "train"}
    assert said in told["step_note"]["text"]
    assert "half batches" in told["step_finished"]["summary"]


def test_a_second_want_of_memory_names_the_rank(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    limited.limit(tmp_path, rows=0, spared=3)
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    built = project.run("build", "recipe.yaml", PYTHONPATH=path)
    assert built.code == 1
    assert "training ran out of memory, with half batches, too: MemoryError" in built.err
    assert "lower train.lora.rank (now 4)" in built.err and "Traceback" not in built.err
