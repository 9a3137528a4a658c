"""The prompts of the shipped recipes, each as it would be sent: every cell, every ordinal."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from jessy_build.engine.ledger import Ledger
from jessy_build.example import Example, Origin, example_id
from jessy_build.recipe.load import LoadedRecipe, load
from jessy_build.recipe.templates import LANGUAGE_NAMES
from jessy_build.validators import check
from tests.recipe.rendered import Prompt, flaws, prompts, without_its_number

ROOT = Path(__file__).parent.parent.parent
RECIPES = sorted(p for p in (ROOT / "recipes").glob("*.yaml") if ".lock." not in p.name)
JESSY = ROOT / "recipes/jessy.yaml"
GENERATORS = {
    *("consciousness", "personality", "code", "pairs", "conversation", "thinking", "owl"),
    *("synesthesia", "context", "adaptive", "complexity"),
}


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def loaded(request: pytest.FixtureRequest) -> LoadedRecipe:
    return load(request.param)


@pytest.fixture
def asked(loaded: LoadedRecipe, tmp_path: Path) -> list[Prompt]:
    return list(prompts(loaded, Ledger(tmp_path / "ledger")))


def test_no_prompt_has_a_leftover_of_jinja_or_an_empty_place(asked: list[Prompt]) -> None:
    assert {p.place: flaws(p.own_words) for p in asked if flaws(p.own_words)} == {}
    assert all(prompt.excerpt in prompt.text for prompt in asked)


@pytest.mark.parametrize(
    "text",
    [
        "- topic: \n- level: low",
        "- about: love ()",
        "- the user  , and jokes",
        "- \n- x",
        "- asked by {{ x }}",
        "- a (; b)",
        "a\n\n\nb",
    ],
)
def test_what_is_empty_or_left_over_would_be_seen(text: str) -> None:
    assert flaws(text)


def test_no_two_items_of_a_recipe_are_asked_in_the_same_words(asked: list[Prompt]) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for prompt in asked:
        places[f"{prompt.category}\0{prompt.text}"].append(prompt.place)
    assert [same for same in places.values() if len(same) > 1] == []


def test_items_of_one_cell_differ_by_more_than_their_number(asked: list[Prompt]) -> None:
    for before, after in pairwise(asked):
        if before.ordinal + 1 == after.ordinal:
            assert without_its_number(before) != without_its_number(after), after.place


def test_each_prompt_names_its_language_its_range_and_the_keys_of_the_answer(
    loaded: LoadedRecipe, asked: list[Prompt]
) -> None:
    for prompt in asked:
        level = loaded.recipe.complexity[prompt.level]
        assert f"{level.words.min} to {level.words.max} words" in prompt.text, prompt.place
        assert LANGUAGE_NAMES[prompt.language] in prompt.text, prompt.place
        assert all(f'"{key}"' in prompt.text for key in prompt.keys), prompt.place
        others = [n for n in range(1, 9) if f'"user_{n}"' in prompt.text]
        turns = sum(key.startswith("user_") for key in prompt.keys)
        assert len(others) == turns, prompt.place
        if "iterations" in loaded.templates[prompt.category].names:
            assert f"{level.iterations.min} to {level.iterations.max} " in prompt.text, prompt.place


def test_each_prompt_has_every_variable_of_its_topic(
    loaded: LoadedRecipe, asked: list[Prompt]
) -> None:
    levels = {"light": "low", "middle": "medium", "deep": "high"}
    for prompt in asked:
        (topic,) = (t for t in loaded.topics(prompt.category) if t.name == prompt.topic)
        for name, value in topic.vars.items():
            told = name != "asked" and levels.get(name, prompt.level) == prompt.level
            assert not told or str(value).strip() in prompt.text, f"{prompt.place}: {name}"


def test_jessy_has_every_generator_and_each_tells_its_iterations() -> None:
    jessy = load(JESSY)
    names = [template.path.stem for template in jessy.templates.values()]
    assert set(names) == GENERATORS
    assert all("iterations" in template.names for template in jessy.templates.values())


def test_thinking_takes_each_number_of_iterations_that_its_level_allows(tmp_path: Path) -> None:
    seen = defaultdict(set)
    for prompt in prompts(load(JESSY), Ledger(tmp_path / "ledger")):
        if prompt.category == "thinking":
            steps = len(prompt.keys) - 1
            seen[prompt.level].add(steps)
            assert f"here exactly {steps}:" in prompt.text
            numbered = [n for n in range(1, 12) if f"\n  {n}. " in prompt.text]
            assert numbered == list(range(1, steps + 1))
    assert seen == {"medium": {3, 4, 5}, "high": {6, 7, 8, 9}}


def test_an_owl_sits_listens_turns_and_flies_or_flies_at_once(tmp_path: Path) -> None:
    for prompt in prompts(load(JESSY), Ledger(tmp_path / "ledger")):
        if prompt.category == "navigation":
            assert prompt.keys == ("user", "perch", "listen", "turn", "flight")
            assert all(f". {part}: " in prompt.text for part in prompt.keys[1:])
        if prompt.category == "next_move":
            assert prompt.keys == ("user", "assistant") and "perch" not in prompt.text


def test_pairs_come_in_all_four_combinations_of_the_same_situations(tmp_path: Path) -> None:
    """Rows of one number stand beside each other in each of them."""
    combinations: dict[str, list[str]] = defaultdict(list)
    for prompt in prompts(load(JESSY), Ledger(tmp_path / "ledger")):
        if prompt.category == "pairs":
            lines = prompt.text.splitlines()
            (languages,) = (line for line in lines if line.startswith("- the message is in "))
            (situation,) = (line for line in lines if line.startswith("- the situation: "))
            combinations[languages].append(situation)
    assert set(combinations) == {
        f"- the message is in {asked}, the answer in {answered}"
        for asked in ("Turkish", "English")
        for answered in ("Turkish", "English")
    }
    assert len({tuple(situations) for situations in combinations.values()}) == 1


def test_the_form_of_a_message_says_nothing_of_its_level(tmp_path: Path) -> None:
    """Each way of writing is asked for at each level: a small model learns such marks at once."""
    jessy = load(JESSY)
    assert jessy.recipe.persona is not None
    seen = defaultdict(set)
    for prompt in prompts(jessy, Ledger(tmp_path / "ledger")):
        for writer in jessy.recipe.persona.vars["writers"]:
            if writer in prompt.text:
                seen[writer].add(prompt.level)
    assert len(seen) == 8
    assert all(levels == {"low", "medium", "high"} for levels in seen.values())


def test_the_rows_written_for_jessy_keep_every_rule_and_are_no_ones_evaluation() -> None:
    jessy = load(JESSY)
    rows = [row for taken in jessy.rows.values() for row in taken]
    examples = [
        Example(
            id=example_id(str(row.category), row.messages),
            category=str(row.category),
            topic=row.topic,
            language=row.language,
            complexity=row.complexity,
            messages=row.messages,
            origin=Origin("curated", f"{row.file}:{row.line}"),
        )
        for row in rows
    ]
    levels = jessy.recipe.complexity.items()
    words = {name: (level.words.min, level.words.max) for name, level in levels}
    assert check(examples, {}, words) == []
    new = [row for row in rows if "curated/jessy/" in row.file]
    assert len(new) >= 150
    assert {row.language for row in new} == {"tr", "en", "mixed"}
    trained = {text.casefold() for row in rows for text in row.texts[::2]}
    for prompt in jessy.evaluate_prompts:
        assert (prompt.prompt.casefold() in trained) == prompt.seen, prompt.prompt


def test_the_quickstart_reads_none_of_the_rows_of_jessy() -> None:
    """Its measured results stand in the README."""
    quickstart = load(ROOT / "recipes/quickstart.yaml")
    files = {row.file for rows in quickstart.rows.values() for row in rows}
    assert files and not any("jessy/" in file for file in files)
