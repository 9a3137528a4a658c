"""One line `KEY=value` in a file that other programs read. All else in it stays, byte for byte.

Read as shells and dotenv libraries do: `export` may stand before, quotes around a value, a remark
behind it, and a quoted value may go over several lines. Of lines that say one key the last counts,
and not for every reader: all of them are changed.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jessy_build import plain_file
from jessy_build.diagnostics import StepError

_LINE = re.compile(
    rb"(?:^|(?<=\xef\xbb\xbf))"
    rb"(?P<before>[ \t]*(?:export[ \t]+)?(?P<key>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*)"
    rb"(?:"
    rb'(?P<double>"(?:\\.|[^"\\])*")(?=[ \t]*(?:#[^\r\n]*)?\r?$)'
    rb"|(?P<single>'[^']*')(?=[ \t]*(?:#[^\r\n]*)?\r?$)"
    rb"|(?P<bare>(?:[^ \t\r\n#]|[ \t]+(?![ \t#\r\n]|$)|(?<![ \t=])#)*)"
    rb")",
    re.MULTILINE | re.DOTALL,
)
MARK = b"\xef\xbb\xbf"
"""Of UTF-8, at the beginning of a file; Windows writes it."""


@dataclass(frozen=True, slots=True)
class EnvLine:
    path: Path
    key: str

    def says(self) -> str | None:
        """The value, where all lines of that key agree; None also where there is no file."""
        try:
            found = {_value(line) for line in _lines(_read(self.path), self.key)}
        except StepError:
            return None
        return found.pop() if len(found) == 1 else None

    def must_be_writable(self) -> None:
        """StepError where `write` could not work: better known before a model goes live."""
        _read(self.path)
        _beside(self.path, b"", _known(self.path)).unlink(missing_ok=True)

    def write(self, value: str) -> bool:
        """Whether the file had to be changed. Readers see the old file or the new one, whole."""
        before = _read(self.path)
        after = _with(before or b"", self.key, value)
        if before == after:
            return False
        fresh = _beside(self.path, after, _known(self.path))
        try:
            # A link stays one: the file that it leads to is replaced.
            fresh.replace(self.path.resolve())
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise _refused(self.path, error) from error
        return True


def _with(text: bytes, key: str, value: str) -> bytes:
    lines = list(_lines(text, key))
    for line in reversed(lines):
        text = text[: line.start()] + _line(line, value.encode()) + text[line.end() :]
    if lines:
        return text
    end = b"\r\n" if b"\r\n" in text else b"\n"
    gap = b"" if not text.removeprefix(MARK) or text.endswith(b"\n") else end
    return text + gap + f"{key}={value}".encode() + end


def _line(line: re.Match[bytes], value: bytes) -> bytes:
    before: bytes = line["before"]
    if line["bare"] is None:
        quote = b"'" if line["double"] is None else b'"'
        return before + quote + value + quote
    if line["bare"]:
        return before + value
    # Blanks behind the `=` of an empty value stand before its remark now, or nowhere.
    head = before.rstrip(b" \t")
    remark = line.string[line.end() : line.end() + 1] == b"#"
    return head + value + ((before[len(head) :] or b" ") if remark else b"")


def _lines(text: bytes | None, key: str) -> Iterator[re.Match[bytes]]:
    for line in _LINE.finditer(text or b""):
        if line["key"] == key.encode():
            yield line


def _value(line: re.Match[bytes]) -> str:
    quoted = line["double"] or line["single"]
    return (quoted[1:-1] if quoted else line["bare"]).decode("utf-8", "replace")


def _read(path: Path) -> bytes | None:
    """None where there is no file yet."""
    try:
        with plain_file.open_plain(path) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error) from error


def _beside(path: Path, text: bytes, known: os.stat_result | None) -> Path:
    """A file of that content in the same folder, so that it can take the place of the other."""
    target = path.resolve()
    fresh = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        # It may hold secrets: until it has the other's permissions it is for its owner alone.
        mode = 0o666 if known is None else 0o600
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            if known is not None:
                with suppress(OSError):
                    os.fchown(descriptor, known.st_uid, known.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(known.st_mode))
            os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise _refused(path, error) from error
    return fresh


def _known(path: Path) -> os.stat_result | None:
    try:
        known = path.stat()
    except OSError:
        return None
    if not os.access(path, os.W_OK):
        # A folder would let us replace what its owner has closed.
        raise _refused(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return known


def _refused(path: Path, error: OSError) -> StepError:
    return StepError(
        f"the model's name cannot be written into {path} ({error.strerror or error})",
        hint="make the file and its folder writable, or change deploy.env_file",
    )
