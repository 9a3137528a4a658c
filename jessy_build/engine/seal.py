"""A checksum beside each row that was paid for or waited for: SQLite itself has none.

Of a flipped byte SQLite notices only what breaks its own structure, and JSON what is no JSON any
more. Of what is left a row's checksum tells, before the row is used.
"""

import zlib
from collections.abc import Mapping

SEALED: Mapping[str, tuple[str, ...]] = {
    "replies": ("stem", "sample", "attempt", "usable", "reply"),
    "artifacts": ("key", "step", "kind", "preimage", "tree", "facts", "about"),
}
"""Table → the columns that its column `seal` is made of. An older row has none: it is taken as it
is."""


def of(*values: object) -> int:
    """The same from what is written as from what is read back: true is 1."""
    plain = (int(value) if isinstance(value, bool) else value for value in values)
    return zlib.crc32("\0".join(map(str, plain)).encode())


def is_broken(seal: object, *values: object) -> bool:
    return seal is not None and seal != of(*values)
