"""An answer that cannot be read: sent back once with what is wrong with it, then mended by us.

Only whole answers: what was cut off or refused has nothing to mend.
"""

import json

from jessy_build.example import Message, Request

WORDS = 200
"""Characters of the reason at most: a validator may repeat half the answer in it."""


def request(asked: Request, answer: str, reason: str) -> Request:
    """The same conversation with the answer and what is wrong with it: a question of its own."""
    said = (
        f"This cannot be used: {reason[:WORDS]}. Give the whole answer again, as one JSON object"
        " that fits the schema, and nothing around it."
    )
    # Half a character, as of a broken escape, could not be sent back.
    sent = answer.encode(errors="replace").decode() or "(nothing)"
    turns = (Message("assistant", sent), Message("user", said))
    # A question of its own: it is known by all that is said in it.
    return asked._replace(messages=(*asked.messages, *turns), plain_stem="")


def mended(text: str) -> str:
    """The JSON in a text, with quotes, brackets and commas put right; empty when there is none."""
    import json_repair

    found = json_repair.loads(text)
    return json.dumps(found, ensure_ascii=False) if isinstance(found, dict) else ""
