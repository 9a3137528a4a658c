"""Where a shared store lies: a folder, or a bucket. Bytes by name; a name is whole or not there.

Knows nothing of what the bytes mean, and trusts none of them: whoever reads compares digests.
Whatever goes wrong out there is a `Refused` with a reason in words. The texts of the libraries
below are never repeated, since addresses and keys may stand in them.
"""

import errno
import importlib.util
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.engine import disk

PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
"""Scheme → the package that speaks it, and the extra of ours that installs it."""
EXPECTED = "s3://bucket/path, gs://bucket/path, file:///folder or a folder"
LONGEST = 64 << 20
"""Bytes of a row or a log segment. What is longer is none of ours."""
CHUNK = 1 << 20
WAIT_SECONDS = 20
LEFT_SECONDS = 24 * 3600
"""A half-written file this old was left by a process that was killed."""

Told = Callable[[int], None]
"""Called with the bytes done so far. What it raises ends the transfer."""


class Refused(Exception):
    """The shared store cannot be used for this now; the text says why."""


class Depot(Protocol):
    # As people may see it.
    name: str
    # Whether it lies on this machine's own file system.
    local: bool

    # The whole content, or None if there is nothing of that name.
    def read(self, name: str) -> bytes | None: ...

    # Content into a file that does not exist yet. False if there is nothing of that name.
    def fetch(self, name: str, to: Path, told: Told) -> bool: ...

    # Bytes, or None if there is nothing of that name.
    def size(self, name: str) -> int | None: ...

    # Readers see all of it under its name, or what was there before.
    def write(self, name: str, content: bytes) -> None: ...
    def send(self, name: str, file: Path, told: Told) -> None: ...

    # The last parts of the names directly below.
    def names(self, below: str) -> list[str]: ...


def at(address: str, origin: Path) -> Depot:
    """The depot at an address. A relative folder is meant from `origin`. Asks no network."""
    scheme, colon, rest = address.partition("://")
    if not colon:
        return Folder((origin / Path(address).expanduser()).resolve())
    if scheme == "file":
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(address)
        if parts.netloc in ("", "localhost") and parts.path.startswith("/"):
            return Folder(Path(unquote(parts.path)).resolve())
    if scheme in PACKAGES and rest.strip("/"):
        return _bucket(scheme, rest.strip("/"))
    raise StepError(
        "the shared store has an address that cannot be used",
        hint=f"expected {EXPECTED}, in the recipe's field 'store' or in JESSY_SHARED_STORE",
    )


def _bucket(scheme: str, path: str) -> "Bucket":
    if "@" in path.partition("/")[0] or "?" in path or "#" in path:
        raise StepError(
            "the shared store's address holds more than a bucket and a path",
            hint="keys come from the environment or from the cloud's own settings files",
        )
    package, extra = PACKAGES[scheme]
    if importlib.util.find_spec(package) is None:
        raise MissingPackage(
            package,
            needed_for=f"a shared store at {scheme}://",
            install=f"uv pip install 'jessy-build[{extra}]'",
        )
    return Bucket(scheme, path)


class Folder:
    """A folder that several people or machines can reach: a mounted disk, say."""

    local = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)
        self._swept = False

    def read(self, name: str) -> bytes | None:
        with self._asked():
            if (size := self._size(name)) is None:
                return None
            if size > LONGEST:
                raise Refused(f"{name} is {size} bytes long, which nothing of ours is")
            return (self.root / name).read_bytes()

    def fetch(self, name: str, to: Path, told: Told) -> bool:
        with self._asked():
            if self._size(name) is None:
                return False
            source = (self.root / name).open("rb")
        with source, to.open("xb") as target:
            while chunk := self._chunk(source):
                target.write(chunk)
                told(target.tell())
        return True

    def size(self, name: str) -> int | None:
        with self._asked():
            return self._size(name)

    def write(self, name: str, content: bytes) -> None:
        with self._asked(), self._writing(name) as target:
            target.write(content)

    def send(self, name: str, file: Path, told: Told) -> None:
        with self._asked(), file.open("rb") as source, self._writing(name) as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
                told(target.tell())

    def names(self, below: str) -> list[str]:
        with self._asked():
            try:
                return sorted(path.name for path in (self.root / below).iterdir())
            except FileNotFoundError:
                self._reach()
                return []

    @contextmanager
    def _writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write; it takes its name once the block has ended well."""
        import secrets

        self._folder(self.root / "tmp")
        self._sweep()
        target = self.root / name
        self._folder(target.parent)
        fresh = self.root / "tmp" / secrets.token_hex(16)
        try:
            with fresh.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # As readable as the folder itself: what a group shares must be open to the group.
            fresh.chmod(stat.S_IMODE(self.root.stat().st_mode) & 0o444)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            # Some network file systems cannot sync a folder, and need not.
            with suppress(OSError):
                os.fsync(handle)
        finally:
            os.close(handle)

    def _folder(self, path: Path) -> None:
        """With the rights of the folder above, so that a group's store stays open to the group."""
        if path.is_dir():
            return
        if path == self.root:
            # Only the last part is made: a disk that is not mounted must not be mistaken for one.
            path.mkdir(exist_ok=True)
            return
        self._folder(path.parent)
        path.mkdir(exist_ok=True)
        with suppress(PermissionError):
            path.chmod(stat.S_IMODE(path.parent.stat().st_mode))

    def _sweep(self) -> None:
        """Once a run: remove what killed processes left half-written."""
        if self._swept:
            return
        self._swept = True
        for path in (self.root / "tmp").iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                    path.unlink()

    def _size(self, name: str) -> int | None:
        try:
            found = (self.root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            self._reach()
            return None
        # A pipe or a device would keep the reader waiting.
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def _reach(self) -> None:
        """A folder that is not there yet is empty; one whose place is not there is out of reach."""
        if not self.root.is_dir() and not self.root.parent.is_dir():
            raise Refused("there is no such folder")

    def _chunk(self, source: IO[bytes]) -> bytes:
        with self._asked():
            return source.read(CHUNK)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Refused(_in_words(error)) from None


class Bucket:
    """An object store: each PUT is seen whole or not at all."""

    local = False

    def __init__(self, scheme: str, path: str) -> None:
        self._scheme = scheme
        self._path = path
        self.name = f"{scheme}://{path}"

    @cached_property
    def _files(self) -> Any:
        import logging

        import fsspec

        # They would print tracebacks of what is told in words here.
        logging.getLogger(PACKAGES[self._scheme][0]).addHandler(logging.NullHandler())
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if self._scheme == "s3":
            limits = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}
            options["config_kwargs"] = limits
        files = fsspec.filesystem(self._scheme, **options)
        files.retries = 2
        return files

    def _soon(self, action: str, name: str, **options: Any) -> Any:
        """For what is small: a build does without a store that lets it wait."""
        from fsspec import asyn

        call = getattr(self._files, f"_{action}")
        return asyn.sync(self._files.loop, call, self._at(name), timeout=WAIT_SECONDS, **options)

    def read(self, name: str) -> bytes | None:
        with self._asked():
            try:
                content: bytes = self._soon("cat_file", name)
            except FileNotFoundError as error:
                _no_object(error)
                return None
        return content

    def fetch(self, name: str, to: Path, told: Told) -> bool:
        with self._asked():
            try:
                self._files.get_file(self._at(name), str(to), callback=_callback(told))
            except FileNotFoundError as error:
                _no_object(error)
                return False
        return True

    def size(self, name: str) -> int | None:
        with self._asked():
            try:
                return int(self._soon("info", name)["size"])
            except FileNotFoundError as error:
                _no_object(error)
                return None

    def write(self, name: str, content: bytes) -> None:
        with self._asked():
            self._files.pipe_file(self._at(name), content)

    def send(self, name: str, file: Path, told: Told) -> None:
        with self._asked():
            self._files.put_file(str(file), self._at(name), callback=_callback(told))

    def names(self, below: str) -> list[str]:
        with self._asked():
            try:
                found = self._soon("ls", below, detail=False)
            except FileNotFoundError as error:
                _no_object(error)
                return []
        return sorted(str(path).rpartition("/")[2] for path in found)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """The libraries below raise what they like, from four packages: all of it means the same.

        Only a full disk of our own is told apart: that is no fault of the shared store.
        """
        try:
            yield
        except Refused:
            raise
        except Ended as ended:
            raise ended.error from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in disk.FULL:
                raise
            raise Refused(_in_words(error)) from None


class Ended(Exception):
    """Carries what a `Told` has raised through a library that would take it for its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _callback(told: Told) -> Any:
    from fsspec.callbacks import Callback

    class Each(Callback):  # type: ignore[misc]
        def call(self, hook_name: str | None = None, **more: Any) -> None:
            try:
                told(self.value)
            except Exception as error:
                raise Ended(error) from error

    return Each()


def _no_object(error: FileNotFoundError) -> None:
    """Refused where there is not even a bucket: nothing could ever be found in it."""
    if _code(error) == "NoSuchBucket":
        raise Refused("there is no such bucket")


def _in_words(error: Exception) -> str:
    code, kind = _code(error), type(error).__name__
    if any(word in kind for word in ("Connect", "Timeout", "ServerDisconnected", "Transport")):
        return "it cannot be reached"
    if isinstance(error, OSError) and error.errno is not None:
        words = {
            errno.ENOENT: "there is no such folder",
            errno.EACCES: "access is denied",
            errno.EPERM: "access is denied",
            errno.EROFS: "it is read-only",
        }
        return words.get(error.errno, os.strerror(error.errno).lower())
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if isinstance(error, PermissionError) or code in ("401", "403", "AccessDenied"):
        return "access is denied"
    if "Credentials" in kind:
        return "no credentials were found"
    return f"it answered with {kind}" + (f" ({code})" if code.isalnum() else "")


def _code(error: BaseException) -> str:
    """What the server called it, where the error or its cause can say."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        if code := getattr(each, "code", None):
            return str(code)
    return ""


def _settle(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
