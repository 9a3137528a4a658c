"""What every runtime returns for one prompt: the text, and how it came to its end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    """Without the token that ended the turn."""
    tokens: int
    """Generated ones, the token that ended the turn not counted."""
    seconds: float
    """From the question to the last token; loading the model is not in it."""
    first_token_seconds: float
    stopped: bool
    """The model ended its turn itself; False when `max_tokens` cut it off."""
