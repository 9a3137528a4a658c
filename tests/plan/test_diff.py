"""What differs between two versions, from plain data to plain data."""

from typing import Any

import pytest

from jessy_build.plan import fields, interval, relations, rows
from jessy_build.plan.changes import Change, differences, shown
from jessy_build.plan.relations import Known
from jessy_build.plan.rows import Row


def test_leaves_are_compared_one_by_one_and_lists_as_a_whole() -> None:
    old = {"train": {"rank": 4, "targets": ["q", "v"]}, "name": "jessy"}
    new = {"train": {"rank": 8, "targets": ["q"]}, "name": "jessy"}
    assert differences(old, new) == (
        Change("train.rank", 4, 8),
        Change("train.targets", ["q", "v"], ["q"]),
    )


def test_a_list_is_the_tuple_of_the_same_values() -> None:
    assert differences({"stop": ["a"]}, {"stop": ("a",)}) == ()


def test_a_digest_is_shown_by_its_beginning() -> None:
    assert shown("ab" * 32) == "abababababab"


# Fields


def compared(old: dict[str, Any], new: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    found = fields.compare(old, new, more.pop("contents", {}), lambda field: "", **more)
    return [(field.group, field.field) for field in found]


@pytest.mark.parametrize(
    ("field", "group"),
    [
        ("version", "name & version"),
        ("base.model", "base"),
        ("persona.vars.emoji", "persona & prompts"),
        ("categories.talk.prompt", "persona & prompts"),
        ("categories.talk.count", "data"),
        ("teachers.claude.model", "data"),
        ("complexity.low.words", "data"),
        ("dataset.seed", "data"),
        ("train.lora.rank", "training"),
        ("export.gguf", "export"),
        ("modelfile.parameters.temperature", "modelfile"),
        ("deploy.ollama.model", "deploy"),
        ("evaluate.prompts", "evaluation"),
        ("pools.gpu", "other"),
    ],
)
def test_fields_are_grouped_by_what_they_are_about(field: str, group: str) -> None:
    assert fields.group_of(field) == group


def test_groups_come_in_the_order_in_which_a_persona_is_made() -> None:
    old = {"train": {"epochs": 2}, "base": {"model": "a"}, "version": "v1", "pools": {"gpu": 1}}
    new = {"train": {"epochs": 3}, "base": {"model": "b"}, "version": "v2", "pools": {"gpu": 2}}
    assert [group for group, _ in compared(old, new)] == [
        *("name & version", "base", "training", "other"),
    ]


def test_where_fields_are_written_is_no_difference() -> None:
    assert compared({"extends": "base.yaml", "recipe": 1}, {"extends": None, "recipe": 1}) == []


def test_a_block_that_is_new_is_told_field_by_field() -> None:
    new = {"evaluate": {"max_tokens": 80, "suites": None, "prompts": ["hello"]}}
    assert compared({"evaluate": None}, new) == [
        ("evaluation", "evaluate.max_tokens"),
        ("evaluation", "evaluate.prompts"),
    ]


def test_a_changed_template_is_told_by_its_lines_even_where_its_path_is_the_same() -> None:
    name = "categories.talk.prompt"
    contents = {name: Change(name, "Say hello.\nBe kind.\n", "Say hello.\nBe brief.\n")}
    found = fields.compare({}, {}, contents, lambda field: "recipe.yaml:3")
    assert [field.field for field in found] == [name]
    assert found[0].lines == ("  Say hello.", "- Be kind.", "+ Be brief.")
    assert found[0].where == "recipe.yaml:3"


def test_a_changed_file_of_rows_is_told_by_its_digests_in_one_line() -> None:
    name = "teachers.curated.files.rows.jsonl"
    (field,) = fields.compare({}, {}, {name: Change(name, "a" * 64, "b" * 64)}, lambda field: "")
    assert (field.group, field.lines) == ("data", ())


def test_a_path_and_the_text_behind_it_are_told_once() -> None:
    name = "categories.talk.prompt"
    old = {"categories": {"talk": {"prompt": "a.j2"}}}
    new = {"categories": {"talk": {"prompt": "b.j2"}}}
    found = fields.compare(old, new, {name: Change(name, "one\ntwo", "one\n2")}, lambda field: "")
    assert [(f.field, f.old, f.new) for f in found] == [(name, "a.j2", "b.j2")]
    assert found[0].lines == ("  one", "- two", "+ 2")


def test_all_fields_are_told_when_all_are_asked_for() -> None:
    recipe = {"name": "jessy", "train": {"epochs": 2, "steps": None}}
    assert compared(recipe, recipe) == []
    assert compared(recipe, recipe, full=True) == [
        ("name & version", "name"),
        ("training", "train.epochs"),
    ]


# Steps

FETCH = Known("fetch", 1, {"model": "a"}, key="f1", output="F1")
TRAIN = Known("train", 1, {"rank": 4}, {"train.rank": 4}, {"base": "fetch"})


def related(old: dict[str, Known], new: dict[str, Known]) -> dict[str, tuple[str, str]]:
    return {step.step: (step.relation, step.because) for step in relations.compare(old, new)}


def changed(step: Known, **fields_: Any) -> Known:
    return Known(**{**step.__dict__, **fields_})


def test_steps_with_one_key_are_shared_whatever_else_is_known() -> None:
    lock = {"fetch": Known(key="f1")}
    assert related(lock, {"fetch": FETCH}) == {"fetch": ("shared", "")}


def test_a_step_that_was_told_otherwise_names_the_field_of_the_recipe() -> None:
    new = changed(TRAIN, params={"rank": 8}, about={"train.rank": 8})
    found = related({"fetch": FETCH, "train": TRAIN}, {"fetch": FETCH, "train": new})
    assert found == {"fetch": ("shared", ""), "train": ("changed", "train.rank changed")}


def test_a_step_behind_a_change_names_the_step_it_waits_for() -> None:
    base = changed(FETCH, params={"model": "b"}, key="f2", output=None)
    found = related({"fetch": FETCH, "train": TRAIN}, {"fetch": base, "train": TRAIN})
    assert found["train"] == ("behind", "behind fetch")


def test_a_step_whose_inputs_came_out_otherwise_names_their_maker() -> None:
    old = changed(TRAIN, inputs={"base": "F1"}, key="t1")
    new = changed(TRAIN, inputs={"base": "F2"}, key="t2")
    base = changed(FETCH, key="f2", output="F2", params={"model": "b"})
    found = related({"fetch": FETCH, "train": old}, {"fetch": base, "train": new})
    assert found["train"] == ("behind", "the output of fetch differs")


def test_a_change_that_came_out_the_same_leaves_what_is_behind_it_shared() -> None:
    trained = changed(TRAIN, inputs={"base": "F1"}, key="t1")
    base = changed(FETCH, key="f2", params={"model": "the same elsewhere"})
    found = related({"fetch": FETCH, "train": trained}, {"fetch": base, "train": trained})
    assert found == {"fetch": ("changed", "model changed"), "train": ("shared", "")}


def test_two_recipes_that_were_never_built_share_what_they_say_alike() -> None:
    fetch = changed(FETCH, key=None, output=None)
    sides = {"fetch": fetch, "train": TRAIN}
    assert set(related(sides, dict(sides)).values()) == {("shared", "")}


def test_another_version_of_a_step_is_told_as_such() -> None:
    newer = changed(TRAIN, version=2, key="t2")
    found = related({"train": changed(TRAIN, key="t1")}, {"train": newer})
    assert found["train"] == ("changed", "the step's version 1 became 2")


def test_keys_alone_never_make_up_a_reason() -> None:
    found = related({"fetch": Known(key="1" * 64)}, {"fetch": Known(key="2" * 64)})
    assert found["fetch"] == (
        "unknown",
        "made of something else: key 111111111111, now 222222222222",
    )


def test_steps_of_one_side_are_told_as_such() -> None:
    found = related({"fetch": FETCH}, {"train": TRAIN})
    assert {name: relation for name, (relation, _) in found.items()} == {
        "train": "added",
        "fetch": "removed",
    }


# Rows


def row(id: str, answer: str = "fine", topic: str = "greetings") -> Row:
    return Row(id, (topic, "en", "low"), f"question {id}", answer)


def test_items_are_told_apart_by_what_is_asked() -> None:
    found = rows.compare([row("a"), row("b"), row("c")], [row("b"), row("c", "well"), row("d")], "")
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert [sample.id for sample in found.samples["added"]] == ["d"]
    assert [sample.id for sample in found.samples["removed"]] == ["a"]
    changed = found.samples["changed"][0]
    assert (changed.question, changed.old, changed.new) == ("question c", "fine", "well")


def test_another_label_is_another_item_and_says_which() -> None:
    found = rows.compare([row("a")], [row("a", topic="thanks")], "")
    sample = found.samples["changed"][0]
    assert (sample.old, sample.new) == ("fine (greetings · en · low)", "fine (thanks · en · low)")


def test_a_question_that_stands_twice_counts_twice() -> None:
    found = rows.compare([row("a"), row("a", "well")], [row("a")], "")
    assert (found.added, found.removed, found.changed) == (0, 1, 0)


def test_no_more_than_a_few_samples_are_kept() -> None:
    found = rows.compare([], [row(str(n)) for n in range(50)], "")
    assert found.added == 50 and len(found.samples["added"]) == rows.SAMPLES


def test_cells_are_compared_with_nothing_where_a_side_has_none() -> None:
    old, new = {("a", "en", "low"): 2, ("b", "en", "low"): 1}, {("a", "en", "low"): 3}
    found = [(cell.topic, cell.old, cell.new) for cell in rows.cells(old, new, full=False)]
    assert found == [("a", 2, 3), ("b", 1, 0)]


# Intervals


def test_a_clear_difference_on_the_same_prompts_is_shown() -> None:
    found = interval.of([-20.0, -18, -25, -22, -19, -24, -21, -20])
    assert found is not None and found.shows_a_difference
    assert found.low < found.mean < found.high < 0


def test_a_difference_that_may_be_chance_is_not_shown() -> None:
    found = interval.of([-20.0, 18, -3, 9, -11, 14, 2, -6])
    assert found is not None and not found.shows_a_difference


def test_a_handful_of_prompts_gives_no_interval_however_clear_it_looks() -> None:
    assert interval.of([-20.0] * 5) is None and interval.of([]) is None
    assert interval.of([-20.0] * 6) is not None


def test_the_interval_is_the_same_every_time() -> None:
    assert interval.of([1.0, 2, 5, -1, 3, 0]) == interval.of([1.0, 2, 5, -1, 3, 0])


def test_the_interval_covers_what_it_promises() -> None:
    """Of 200 samples from a known population about 95 % of the intervals hold its mean."""
    from random import Random

    chance = Random(7)
    covered = 0
    for _ in range(200):
        sample = [chance.gauss(3.0, 2.0) for _ in range(30)]
        found = interval.of(sample)
        assert found is not None
        covered += found.low <= 3.0 <= found.high
    # The percentile interval is known to be a little narrow for thirty values.
    assert 178 <= covered <= 199
