"""Rows for the tables of the validators' tests."""

from jessy_build.example import Example, Message, Origin, Role, example_id

ROLES: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant"}


def talk(
    *turns: str,
    language: str = "tr",
    complexity: str = "low",
    where: str = "rows.jsonl:1",
    category: str = "chat",
) -> Example:
    """`talk("u: selam", "a: selam!")`"""
    messages = tuple(Message(ROLES[turn[0]], turn[3:]) for turn in turns)
    return Example(
        id=example_id(category, messages),
        category=category,
        topic="greetings",
        language=language,
        complexity=complexity,
        messages=messages,
        origin=Origin("curated", where),
    )
