"""Whatever is damaged in a store is found, named and made again, and the results come out the same.

And whatever is edited by hand in one of its folders never reaches a result.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from jessy_build.engine.events import StepNote
from jessy_build.engine.kind import Facts, Job
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan, Step
from tests.engine.world import Text, World, chain
from tests.steps import asked
from tests.steps.project import SIGKILL, Project

Damage = Callable[[Path], None]


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes() or b"\1")
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def fill_with_zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def remove(file: Path) -> None:
    file.unlink()


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.make(tmp_path_factory.mktemp("damage") / "p", tiny_model)
    project.edit("max_tokens: 6", "max_tokens: 3")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """As built, with the hard links between its folders."""
    shutil.copytree(built.root, tmp_path / "p", copy_function=_linked(built.root, tmp_path / "p"))
    return Project(tmp_path / "p")


def _linked(here: Path, there: Path) -> Callable[[str, str], None]:
    copies: dict[int, Path] = {}

    def copy(source: str, target: str) -> None:
        inode = Path(source).stat().st_ino
        if inode in copies:
            Path(target).hardlink_to(copies[inode])
        else:
            shutil.copy2(source, target)
            copies[inode] = Path(target)

    return copy


def objects(project: Project) -> list[Path]:
    return sorted(p for p in (project.root / ".jessy/objects").rglob("*") if p.is_file())


def results(project: Project) -> dict[str, bytes]:
    """All but the report and the curve of training, which tell how long it took to make them."""
    folder = project.root / "builds/tiny/v1"
    timed = ("report.html", "metrics.jsonl")
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in timed]
    files.append(project.root / "recipe.lock.yaml")
    assert len(files) > 5
    return {p.relative_to(project.root).as_posix(): p.read_bytes() for p in files}


def reasons(out: str) -> str:
    lines = [json.loads(line) for line in out.splitlines()]
    told = [line["reasons"] for line in lines if line["event"] == "step_started"]
    return " ".join(reason for some in told for reason in some)


def test_a_flipped_byte_in_any_object_is_found_named_and_mended(project: Project) -> None:
    before = results(project)
    everything = objects(project)
    assert len(everything) > 12
    for file in everything:
        file.chmod(0o644)
        flip(file)
        done = project.run("build", "recipe.yaml", "--json")
        assert done.code == 0, (file, done.out, done.err)
        assert "was damaged" in reasons(done.out), file
        assert results(project) == before, file
        assert asked.finished(done.out), file


@pytest.mark.parametrize("damage", [flip, cut_short, fill_with_zeros, remove])
def test_a_store_damaged_all_over_is_made_anew(project: Project, damage: Damage) -> None:
    before = results(project)
    for file in objects(project):
        file.chmod(0o644)
        damage(file)
    done = project.run("build", "recipe.yaml", "--json")
    assert done.code == 0, done.out + done.err
    word = "is gone" if damage is remove else "was damaged"
    assert word in reasons(done.out)
    assert results(project) == before
    assert "Nothing to do" in project.run("build", "recipe.yaml").out


def test_what_is_edited_in_the_results_is_laid_out_again(project: Project) -> None:
    before = results(project)
    for file in (project.root / "builds/tiny/v1").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(b"by hand")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert results(project) == before


def test_what_is_edited_in_the_views_reaches_no_result(
    project: Project, built: Project, tmp_path: Path
) -> None:
    """A new rank, trained once on untouched folders and once on folders that were tampered with."""
    other = tmp_path / "other"
    shutil.copytree(built.root, other, copy_function=_linked(built.root, other))
    clean = Project(other)
    for each in (clean, project):
        each.edit("rank: 4", "rank: 2")
    for file in sorted((project.root / ".jessy/views").rglob("*")):
        if file.is_file() and file.suffix in (".jsonl", ".json", ".jinja"):
            # An editor writes a new file and gives it the old one's name …
            fresh = file.with_name("fresh")
            fresh.write_bytes(file.read_bytes().replace(b"thanks", b"THANKS"))
            fresh.replace(file)
        elif file.is_file():
            # … or writes into the file itself, which is also the stored one.
            file.chmod(0o644)
            flip(file)
        else:
            (file / "model-more.safetensors").write_bytes(b"added by hand")
            (file / "chat_template.jinja.bak").write_text("added by hand")
    for each in (clean, project):
        done = each.run("build", "recipe.yaml")
        assert done.code == 0, done.out + done.err
    assert results(project) == results(clean)


def test_what_is_edited_in_a_scratch_folder_reaches_no_result(
    project: Project, built: Project
) -> None:
    """Killed while it compares the models; then the base under comparison is put in its place."""
    answers = _answers(built)
    left = _killed_while_it_compares(project)
    tuned = max(objects(project), key=lambda p: p.stat().st_size)
    left.write_bytes(tuned.read_bytes())
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert _answers(project) == answers


def _killed_while_it_compares(project: Project) -> Path:
    """The base that it left in its scratch folder. The tiny model answers at once, so on a busy
    machine the kill may come too late."""
    for _ in range(10):
        shutil.rmtree(project.root / ".jessy")
        killed = project.interrupt_when(
            ("build", "recipe.yaml", "--json"), '"step": "evaluate", "done": 1', SIGKILL, pause=0
        )
        left = list((project.root / ".jessy/work").glob("*/base.gguf"))
        if killed.code == -SIGKILL and left:
            return left[0]
    raise AssertionError("every kill came too late")


def _answers(project: Project) -> str:
    for file in objects(project):
        data = file.read_bytes()
        if data.startswith(b'{"prompt"'):
            return data.decode()
    raise AssertionError("there are no answers in the store")


# The engine alone: damage in the middle of a build


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_input_edited_while_a_step_reads_it_is_noticed(world: World) -> None:
    """The step has proved its input and goes on to read it; the edit comes in between."""
    kind = world.kind = Edited()
    result = world.build(chain("a", "b", "c"))
    assert kind.edited and not result.failed
    assert world.text(result, "s2") == "abc"
    assert world.kind.ran == ["s0", "s1", "s0", "s1", "s2"]
    assert any(isinstance(event, StepNote) and "damaged" in event.text for event in world.events)


@dataclass
class Edited(Text):
    """Asks for the folder once, as real steps do; somebody edits it before it is read."""

    edited: bool = False

    def run(self, job: Job) -> Facts:
        folders = dict(job.inputs)
        if job.step.name == "s1" and not self.edited:
            self.edited = True
            file = folders["before"] / "text"
            file.chmod(0o644)
            file.write_text("edited")
        return super().run(replace(job, inputs=folders))


def test_what_is_never_sound_is_given_up_with_a_word(world: World) -> None:
    def always_edit(job: Job) -> None:
        if job.step.name == "s1":
            file = job.inputs["before"] / "text"
            file.chmod(0o644)
            file.write_text("edited")

    world.kind.during = always_edit
    result = world.build(chain("a", "b"))
    assert "damaged" in result.failed["s0"].problem
    assert "disk" in result.failed["s0"].hint
    assert result.left == ["s1"]


def test_steps_behind_a_mended_one_are_asked_anew(world: World) -> None:
    """s0 comes out otherwise when it is made again: what rests on its old output does not stay."""
    made = iter("AB")

    def moody(job: Job) -> None:
        if job.step.name == "s0":
            (job.out / "mood").write_text(next(made))

    world.kind.during = moody
    plan = Plan(
        (
            Step("s0", "text", 1, {"text": "a"}),
            Step("early", "text", 1, {"text": "e"}, {"x": "s0"}),
            Step("late", "text", 1, {"text": "l"}, {"x": "s0", "y": "early"}),
        )
    )
    first = world.build(plan)
    changed = Plan((*plan.steps[:2], Step("late", "text", 1, {"text": "L"}, plan["late"].needs)))
    _rot(world, first.made["s0"].tree["mood"][0])
    result = world.build(changed)
    assert not result.failed
    old = world.store.digest(first.made["s0"])
    new = world.store.digest(result.made["s0"])
    assert new != old
    for name in ("early", "late"):
        assert result.made[name].preimage["inputs"]["x"] == new, name


def test_two_steps_that_meet_the_same_damage_have_it_mended_once(world: World) -> None:
    plan = Plan(
        (
            Step("s0", "text", 1, {"text": "a"}),
            *(Step(f"b{n}", "text", 1, {"text": str(n)}, {"x": "s0"}, "network") for n in range(4)),
        )
    )
    first = world.build(Plan(plan.steps[:1]))
    _rot(world, first.made["s0"].tree["text"][0])
    result = world.build(plan, {"cpu": 1, "network": 4})
    assert not result.failed
    assert world.kind.ran.count("s0") == 1


def test_who_meets_the_damage_late_takes_what_was_made_meanwhile(world: World) -> None:
    """The old input is gone for good: s0 came out otherwise when another step had it mended."""
    made = iter("ABC")

    def during(job: Job) -> None:
        if job.step.name == "s0":
            (job.out / "mood").write_text(next(made))
        if job.step.name == "slow":
            deadline = time.monotonic() + 10
            while world.store.find(first.key) in (None, first) and time.monotonic() < deadline:
                time.sleep(0.01)

    world.kind.during = during
    needs = {"x": "s0"}
    plan = Plan(
        (
            Step("s0", "text", 1, {"text": "a"}),
            Step("fast", "text", 1, {"text": "f"}, needs, "network"),
            Step("slow", "text", 1, {"text": "s"}, needs, "network"),
        )
    )
    first = world.build(Plan(plan.steps[:1])).made["s0"]
    _rot(world, first.tree["mood"][0])
    result = world.build(plan, {"cpu": 1, "network": 2})
    assert not result.failed
    assert world.kind.ran.count("s0") == 1
    now = world.store.digest(result.made["s0"])
    assert result.made["slow"].preimage["inputs"] == {"x": now}
    assert world.store.find(first.key) == result.made["s0"]


def test_a_file_changed_while_it_is_put_into_the_store_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the file open and writes after its digest was taken."""
    chmod = Path.chmod

    def write_behind(file: Path, mode: int) -> None:
        if file.name == "text":
            file.write_text("changed behind the back")
        chmod(file, mode)

    monkeypatch.setattr(Path, "chmod", write_behind)
    result = world.build(chain("a"))
    assert "changed by somebody" in result.failed["s0"].problem
    monkeypatch.undo()
    again = world.build(chain("a"))
    assert not again.failed and world.text(again, "s0") == "a"


def test_a_view_is_mended_without_taking_it_from_those_who_read_it(world: World) -> None:
    result = world.build(chain("a"))
    folder = world.store.view(result.made["s0"])
    (folder / "text").unlink()
    (folder / "added").write_text("by hand")
    inode = folder.stat().st_ino
    again = world.store.view(result.made["s0"])
    assert [file.name for file in again.iterdir()] == ["text"]
    assert (again / "text").read_text() == "a"
    assert again.stat().st_ino == inode, "the folder is the same one"


def test_the_same_content_made_twice_leaves_the_stored_file_where_it_is(world: World) -> None:
    first = world.build(chain("a", upper=1))
    view = world.store.view(first.made["s0"]) / "text"
    other = Plan((Step("other", "text", 1, {"text": "a", "upper": False, "note": "other key"}),))
    second = world.build(other)
    assert world.kind.ran == ["other"]
    assert second.made["other"].tree == first.made["s0"].tree
    assert view.samefile(world.store.object(second.made["other"].tree["text"][0]))


def _rot(world: World, sha256: str) -> None:
    """Damage that no time shows, as a failing disk does it."""
    file = world.store.object(sha256)
    file.chmod(0o644)
    flip(file)
    stat = file.stat()
    noted = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    world.store.ledger.set_file(sha256, noted, sha256)
    world.store = Store(world.root / "store")
