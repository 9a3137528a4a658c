"""A shared store in an object store, through fsspec: each PUT is seen whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from jessy_build.engine import disk
from jessy_build.engine.depot import PACKAGES, Refused, Told, code_of, in_words

WAIT_SECONDS = 20
TRIES = 2


class Bucket:
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
        files.retries = TRIES
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
            raise Refused(in_words(error)) from None


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
    if code_of(error) == "NoSuchBucket":
        raise Refused("there is no such bucket")
