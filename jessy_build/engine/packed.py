"""Artifacts and answers as a shared store holds them: bytes that prove what they are.

A row's first line is the digest of the rest, and its key the digest of its own pre-image; a log
segment is named by its digest, and each answer in it by its question. So no damage gets through,
by accident or by half a transfer; who wrote it, the bytes cannot tell.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jessy_build import digest
from jessy_build.engine.known import Line
from jessy_build.engine.ledger import Artifact
from jessy_build.example import Reply, request_digest

SHA256 = re.compile(r"[0-9a-f]{64}")
LOGIN = re.compile(r"(://)[^/\s\"@]*@")


class Wrong(Exception):
    """A row or a segment that is not what its name says; says why."""


def row_of(artifact: Artifact) -> bytes:
    """Raises Wrong for an artifact that no reader would take."""
    facts = LOGIN.sub(r"\1", json.dumps(artifact.facts, ensure_ascii=False))
    row = {
        "key": artifact.key,
        "step": artifact.step,
        "kind": artifact.kind,
        "tree": dict(artifact.tree),
        "facts": json.loads(facts),
        "seconds": artifact.seconds,
        "made_at": artifact.made_at,
        "preimage": dict(artifact.preimage),
        "about": dict(artifact.about),
    }
    body = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")
    content = digest.of_bytes(body).encode() + b"\n" + body
    artifact_of(artifact.key, content)
    return content


def artifact_of(key: str, content: bytes) -> Artifact:
    """The artifact in a row; raises Wrong unless the row is whole and belongs to this key."""
    first, _, body = content.partition(b"\n")
    if first != digest.of_bytes(body).encode():
        raise Wrong("was damaged in the shared store")
    try:
        row = json.loads(body)
        preimage = row["preimage"]
        if row["key"] != key or digest.of_value(preimage) != key:
            raise Wrong("has a key that is not the digest of its own pre-image")
        artifact = Artifact(
            *(key, _text(row["step"]), _text(row["kind"]), tree_of(row["tree"])),
            *(_mapping(row["facts"]), _number(row["seconds"]), _number(row["made_at"])),
            *(_mapping(preimage), _mapping(row["about"])),
        )
        if (preimage["kind"], type(preimage["version"])) != (artifact.kind, int):
            raise Wrong("has another kind than its own pre-image")
        _mapping(preimage["params"]), _mapping(preimage["inputs"])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise Wrong("is not written as a row") from None
    return artifact


def tree_of(tree: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Paths that stay below the folder they are laid out in, each a file and none a folder too."""
    files = {}
    for path, (sha256, size) in tree.items():
        parts = path.split("/")
        if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts):
            raise Wrong(f"holds the path {path!r}, which leads elsewhere")
        if "\0" in path or "\\" in path:
            raise Wrong(f"holds the path {path!r}, which no file can have")
        if not SHA256.fullmatch(sha256) or type(size) is not int or size < 0:
            raise ValueError(size)
        files[path] = (sha256, size)
    for path in files:
        if any(str(parent) in files for parent in Path(path).parents):
            raise Wrong(f"holds {path!r} below a file")
    return files


def segment_of(lines: Sequence[Line]) -> bytes:
    """JSON lines: each question once, its answers behind it."""
    text = []
    for stem, answers in groupby(sorted(lines, key=_order), key=lambda line: line.stem):
        group = list(answers)
        text.append(f'{{"stem":{json.dumps(stem)},"question":{group[0].question}}}\n')
        for line in group:
            head = json.dumps([line.sample, line.attempt, bool(line.usable), line.made_at])
            text.append(f'{{"stem":{json.dumps(stem)},"as":{head},"reply":{line.reply}}}\n')
    return "".join(text).encode("utf-8", "surrogatepass")


def lines_of(sha256: str, content: bytes) -> list[Line]:
    """The answers in a segment; raises Wrong unless it is whole and each has its question."""
    if digest.of_bytes(content) != sha256:
        raise Wrong("were damaged in the shared store")
    try:
        return list(_lines(content.decode("utf-8", "surrogatepass")))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise Wrong("are not written as answers") from None


def _lines(text: str) -> Iterator[Line]:
    questions: dict[str, str] = {}
    for each in text.split("\n")[:-1]:
        row = json.loads(each)
        stem = row["stem"]
        if "question" in row:
            if digest.of_value(row["question"]) != stem:
                raise ValueError("not the digest of its question")
            questions[stem] = _compact(row["question"])
            continue
        sample, attempt, usable, made_at = row["as"]
        reply = Reply.of(row["reply"])
        if type(sample) is not int or type(attempt) is not int:
            raise TypeError(row["as"])
        if reply.request != request_digest(stem, sample, attempt):
            raise ValueError("not the answer to its question")
        _text(reply.text), _text(reply.model), _number(reply.seconds), _number(reply.limit)
        [_text(one) for one in reply.shown]
        yield Line(
            *(stem, sample, attempt, usable is True and reply.stop == "end"),
            *(_compact(row["reply"]), _number(made_at), questions[stem]),
        )


def _order(line: Line) -> tuple[str, int, int]:
    return (line.stem, line.sample, line.attempt)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(value)
    return value
