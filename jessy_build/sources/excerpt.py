"""A part of a file that rows are written about."""

from typing import Any, NamedTuple

from jessy_build import digest
from jessy_build.example import Cited


class Piece(NamedTuple):
    """A part of one text, as a unit cuts it out. Lines count from 1, both ends included."""

    first: int
    last: int
    name: str
    text: str
    mark: str = ""
    """What it is known by where its name says too little."""


class Excerpt(NamedTuple):
    """A piece with its file."""

    path: str
    """From the project's folder on, so that it is the same from every working directory."""
    first: int
    last: int
    name: str
    language: str
    text: str
    left_out: int
    """Lines that were cut off for being too many."""
    key: str
    """File and name, and no line: an excerpt that is edited or moved in its file stays the one it
    was, for the rows that are written about it."""

    @property
    def lines(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def digest(self) -> str:
        return digest.of_bytes(self.text.encode())

    @property
    def cited(self) -> Cited:
        return Cited(self.path, self.lines, self.name, self.digest)

    @property
    def variables(self) -> dict[str, Any]:
        """What a prompt reads as `source`."""
        return {
            "text": self.text,
            "name": self.name,
            "path": self.path,
            "lines": self.lines,
            "language": self.language,
            "left_out": self.left_out,
        }
