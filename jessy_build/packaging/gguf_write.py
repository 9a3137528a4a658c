"""Write a model folder as one GGUF that llama.cpp and Ollama load, tensor by tensor.

The bytes depend on the folder, the name and the kind alone. The file appears whole or not at all.
"""

import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic_core

from jessy_build.chat import Chat
from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.packaging import architectures, mlx_weights, rope, vocabulary
from jessy_build.packaging.architectures import Architecture
from jessy_build.packaging.mlx_weights import Tensor
from jessy_build.packaging.safetensors_file import Stored
from jessy_build.packaging.vocabulary import Vocabulary

FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
"""The kinds that can be written here, by llama.cpp's number for a whole file of one."""

FEW = 1000
ARRAY_CODES = {"INT32": "i", "FLOAT32": "f"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Planned:
    """One tensor of the file: where its values come from and how they are stored."""

    name: str
    shape: tuple[int, ...]
    kind: str
    stored: Tensor | None
    made: Callable[[], Any] | None = None
    """Its values, where they lie in no file as the GGUF holds them."""
    order: Any | None = None
    offset: float = 0.0

    @property
    def bytes(self) -> int:
        block, size = _gguf().GGML_QUANT_SIZES[_ggml(self.kind)]
        return int(math.prod(self.shape) // block * size)


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder, read and checked as far as a GGUF needs it."""

    config: Mapping[str, Any]
    architecture: Architecture
    tensors: list[Planned]
    words: Vocabulary
    chat: Chat
    ends: list[int]


def write(
    model_dir: Path,
    out: Path,
    *,
    kind: str = "f16",
    name: str,
    progress: Progress | None = None,
    change: Callable[[Architecture], Architecture] = lambda known: known,
) -> None:
    """`progress` is told the bytes of weights written and in all: once before, once a tensor.
    `change` makes a file that is wrong on purpose, to find out what is wrong with another."""
    if kind not in FILE_TYPES:
        raise StepError(f"a GGUF of kind '{kind}' cannot be written", hint=_kinds())
    try:
        model = _opened(model_dir, kind, change)
        writer = _prepared(model, kind, name)
    except (KeyError, TypeError, AttributeError) as error:
        raise StepError(f"{model_dir} is no complete model folder: {error!r}") from error
    put(out, writer, model.tensors, progress)


def put(out: Path, writer: Any, tensors: list[Planned], progress: Progress | None = None) -> None:
    """The file, once the `writer` has been told all that stands before the tensors."""
    half_made = out.with_name(f".{out.name}.{os.getpid()}.part")
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, None, tensor.bytes, _ggml(tensor.kind))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_file(writer, half_made, tensors, progress)
        half_made.replace(out)
        _sync_folder(out.parent)
    except OSError as error:
        raise StepError(
            f"cannot write {out}: {error.strerror or error}", hint="free some space, then go on"
        ) from error
    finally:
        for file in writer.fout or ():
            _close(file)
        half_made.unlink(missing_ok=True)


def _opened(model_dir: Path, kind: str, change: Callable[[Architecture], Architecture]) -> Model:
    config = read_json(model_dir / "config.json")
    architecture = change(architectures.of_config(config))
    tensors = _planned(mlx_weights.open_model(model_dir), architecture, config, kind)
    rows = next((t.shape[0] for t in tensors if t.name == "token_embd.weight"), 0)
    if not rows:
        raise StepError(f"{model_dir} has no embedding weights")
    chat = Chat.load(model_dir)
    tokenizer = model_dir / "tokenizer.json"
    with _told(tokenizer):
        words = vocabulary.from_tokenizer_json(tokenizer.read_bytes(), _special(chat), rows)
    ends = _end_ids(model_dir, chat, words)
    return Model({**config, "vocab_size": rows}, architecture, tensors, words, chat, ends)


def _prepared(model: Model, kind: str, name: str) -> Any:
    writer = new(model.architecture.gguf)
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(_gguf().GGML_QUANT_VERSION)
    _add_settings(writer, model.architecture, model.config)
    _add_vocabulary(writer, model.words, model.chat, model.ends)
    return writer


def new(architecture: str) -> Any:
    """The package's writer, which packs arrays value by value: 3 s for Gemma's vocabulary."""
    gguf = _gguf()
    kinds = gguf.GGUFValueType

    class Writer(gguf.GGUFWriter):  # type: ignore[misc, name-defined]
        later: dict[str, Callable[[], Sequence[float]]]
        """Arrays of floats that are made while tensors are written."""
        ends: dict[str, int]
        """Where the values end in the file, by key."""

        def write_kv_data_to_file(self) -> None:
            (file,) = self.fout
            for key, value in self.kv_data[0].items():
                file.write(self._pack_val(key, kinds.STRING, add_vtype=False))
                file.write(self._pack_val(value.value, value.type, add_vtype=True))
                self.ends[key] = file.tell()
            self.state = gguf.gguf_writer.WriterState.KV_DATA

        def _pack_val(self, val: Any, vtype: Any, add_vtype: bool, sub_type: Any = None) -> bytes:
            if vtype is not kinds.ARRAY or len(val) < FEW:
                return bytes(super()._pack_val(val, vtype, add_vtype, sub_type))
            kind = kinds.get_type(val[0])
            if kind is kinds.STRING:
                body = _with_lengths(val)
            else:
                body = struct.pack(f"<{len(val)}{ARRAY_CODES[kind.name]}", *val)
            return struct.pack("<IIQ", vtype, kind, len(val)) + body

    writer = Writer(None, architecture)
    writer.later, writer.ends = {}, {}
    return writer


def _with_lengths(texts: Sequence[bytes]) -> bytes:
    """Each text behind its length."""
    import numpy as np

    counts = np.fromiter(map(len, texts), "<u8", len(texts))
    size = counts.itemsize
    starts = np.cumsum(counts + size) - counts - size
    whole = np.empty(int(counts.sum()) + counts.nbytes, np.uint8)
    length: Any = np.zeros(len(whole), np.bool_)
    length[(starts[:, None] + np.arange(size, dtype=starts.dtype)).ravel()] = True
    whole[length] = counts.view(np.uint8)
    whole[~length] = np.frombuffer(b"".join(texts), np.uint8)
    return bytes(whole)


def _planned(
    tensors: Mapping[str, Tensor], architecture: Architecture, config: Mapping[str, Any], kind: str
) -> list[Planned]:
    tied = bool(config.get("tie_word_embeddings", "lm_head.weight" not in tensors))
    planned = []
    for name, stored in tensors.items():
        if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
            continue
        heads = architecture.heads_to_permute(name, config)
        flat = len(stored.shape) == 1
        planned.append(
            Planned(
                name=architecture.gguf_name(name),
                shape=stored.shape,
                kind=_kind_of(stored.shape, kind),
                stored=stored,
                order=rope.permutation(stored.shape[0], heads, to_gguf=True) if heads else None,
                offset=architecture.norm_offset if flat and name.endswith("norm.weight") else 0.0,
            )
        )
    scaling = rope.scaling(config)
    if rope.kind(scaling) == "llama3":
        base, head_dim = rope.base(config), architectures.head_dim_of(config)
        factors = rope.llama3_factors(scaling, base, head_dim)
        planned.append(
            Planned("rope_freqs.weight", factors.shape, "f32", None, made=lambda: factors)
        )
    return sorted(planned, key=file_order)


def file_order(tensor: Planned) -> tuple[int, int, str]:
    """Embedding, layers in turn, the rest: the order in which a runtime needs them."""
    if tensor.name.startswith("blk."):
        return 1, int(tensor.name.split(".")[1]), tensor.name
    return (0 if tensor.name.startswith("token_embd") else 2), 0, tensor.name


def _kind_of(shape: tuple[int, ...], kind: str) -> str:
    """Vectors and norms keep float32; rows that fill no whole block keep float16."""
    if len(shape) == 1:
        return "f32"
    block, _ = _gguf().GGML_QUANT_SIZES[_ggml(kind)]
    return kind if shape[-1] % block == 0 else "f16"


def _special(chat: Chat) -> dict[str, str]:
    roles = {
        "bos": chat.bos,
        "eos": chat.eos,
        "unk": chat.tokens.get("unk_token", ""),
        "pad": chat.tokens.get("pad_token", ""),
    }
    return {role: text for role, text in roles.items() if text}


def _end_ids(model_dir: Path, chat: Chat, words: Vocabulary) -> list[int]:
    """Every token that ends an answer, the template's end of turn first."""
    ids = words.ids((chat.end_of_turn, *chat.stops))
    if chat.end_of_turn not in ids:
        raise StepError(
            f"the chat template ends a turn with '{chat.end_of_turn}', which is no token of the "
            "model, so no server could tell where an answer ends",
            hint="set base.chat_template to one that fits the base",
        )
    ends = [ids[stop] for stop in chat.stops if stop in ids]
    listed = read_json(model_dir / "generation_config.json", missing={}).get("eos_token_id") or []
    ends += [listed] if isinstance(listed, int) else listed
    return list(dict.fromkeys(ends))


def _add_settings(writer: Any, architecture: Architecture, config: Mapping[str, Any]) -> None:
    for key, value in architecture.keys(config).items():
        full = f"{architecture.gguf}.{key}"
        match value:
            case str():
                writer.add_string(full, value)
            case float():
                writer.add_float32(full, value)
            case _:
                writer.add_uint32(full, value)


def _add_vocabulary(writer: Any, words: Vocabulary, chat: Chat, ends: list[int]) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    if words.model == "llama":
        writer.add_token_scores([0.0] * len(words.tokens))
        writer.later["tokenizer.ggml.scores"] = words.scores
    writer.add_token_types(words.types)
    if words.merges:
        writer.add_token_merges(words.merges)
    for role, add in (
        ("bos", writer.add_bos_token_id),
        ("unk", writer.add_unk_token_id),
        ("pad", writer.add_pad_token_id),
    ):
        if role in words.special:
            add(words.special[role])
    writer.add_eos_token_id(ends[0])
    writer.add_eot_token_id(ends[0])
    if len(ends) > 1:
        # llama.cpp has three places for tokens that end an answer; Ollama's engine reads a list.
        writer.add_eom_token_id(ends[1])
        writer.add_array("tokenizer.ggml.eos_token_ids", ends)
    # The model was trained on the template's text: a server adds a BOS only where that has one.
    writer.add_add_bos_token(bool(chat.leading_bos))
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(words.add_space_prefix)
    writer.add_chat_template(chat.template)


def _write_file(writer: Any, path: Path, plan: list[Planned], progress: Progress | None) -> None:
    writer.open_output_file(path)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    (file,) = writer.fout
    writer.write_padding(file, file.tell())
    total, done = sum(tensor.bytes for tensor in plan), 0
    if progress:
        progress(0, total)
    with _Flusher(file) as flusher, ThreadPoolExecutor(1) as thread:
        later = {key: thread.submit(made) for key, made in writer.later.items()}
        for tensor in plan:
            if _copied(tensor, file):
                flusher.wrote(tensor.bytes)
            else:
                for block in _stored_blocks(tensor):
                    file.write(block.data)
                    flusher.wrote(block.nbytes)
            writer.write_padding(file, tensor.bytes)
            done += tensor.bytes
            if progress:
                progress(done, total)
        for key, values in later.items():
            packed = struct.pack(f"<{len(values.result())}f", *values.result())
            os.pwrite(file.fileno(), packed, writer.ends[key] - len(packed))


def _copied(tensor: Planned, file: Any) -> bool:
    """By the kernel, in one stroke: nobody who computes is waited for. False where it cannot be
    (macOS, another file system), or where the bytes do not stay as they are."""
    one = tensor.stored
    changed = tensor.offset or tensor.order is not None
    if not isinstance(one, Stored) or changed or one.dtype.lower() != tensor.kind:
        return False
    start, done = file.tell(), 0
    file.flush()
    with one.file.open("rb") as source, suppress(OSError, AttributeError):
        ends = source.fileno(), file.fileno()
        while done < tensor.bytes and (
            more := os.copy_file_range(*ends, tensor.bytes - done, one.offset + done, start + done)
        ):
            done += more
    file.seek(start + (tensor.bytes if done == tensor.bytes else 0))
    return done == tensor.bytes


class _Flusher:
    """Sends to the disk what was written while more is written. All of it is there at the end."""

    EACH = 1 << 26

    def __init__(self, file: Any) -> None:
        self.file = file
        self.thread = ThreadPoolExecutor(1)
        self.running: Future[None] | None = None
        self.waiting = 0

    def __enter__(self) -> "_Flusher":
        return self

    def wrote(self, count: int) -> None:
        self.waiting += count
        if self.waiting < self.EACH or (self.running and not self.running.done()):
            return
        self._check()
        self.running = self.thread.submit(os.fsync, self.file.fileno())
        self.waiting = 0

    def _check(self) -> None:
        """The system tells of a failure once, to whoever asks first."""
        if self.running:
            self.running.result()

    def __exit__(self, kind: object, *rest: object) -> None:
        self.thread.shutdown()
        if kind is None:
            self._check()
            self.file.flush()
            os.fsync(self.file.fileno())


def _stored_blocks(tensor: Planned) -> Iterator[Any]:
    """The tensor's bytes as the file holds them, some rows at a time."""
    import numpy as np

    if tensor.made is not None:
        yield np.ascontiguousarray(tensor.made())
        return
    assert tensor.stored is not None
    for block in tensor.stored.blocks(tensor.order):
        if tensor.offset:
            block = block.astype(np.float32) + np.float32(tensor.offset)
        if tensor.kind in ("f32", "f16"):
            word = np.float32 if tensor.kind == "f32" else np.float16
            yield np.ascontiguousarray(block, dtype=word)
        else:
            values = np.ascontiguousarray(block, dtype=np.float32)
            yield np.ascontiguousarray(_gguf().quantize(values, _ggml(tensor.kind)))


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    if missing is not None and not path.is_file():
        return missing
    with _told(path):
        value = pydantic_core.from_json(path.read_bytes())
    if not isinstance(value, dict):
        raise StepError(f"{path} holds no JSON object")
    return value


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What reading JSON from there may raise, in words."""
    try:
        yield
    except OSError as error:
        raise StepError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError:
        raise StepError(f"{path} is no valid JSON") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _close(file: Any) -> None:
    try:
        file.close()
    except OSError:
        # A full disk was reported by the write that met it; closing meets it again.
        return


def _kinds() -> str:
    return f"known: {', '.join(FILE_TYPES)}; q4_K_M and q4_K_S are made by Ollama"


def _ggml(kind: str) -> Any:
    return _gguf().GGMLQuantizationType[kind.upper()]


def _gguf() -> Any:
    try:
        import gguf
    except ImportError:
        raise MissingPackage(
            "gguf", needed_for="writing a GGUF", install="uv pip install 'jessy-build[mlx]'"
        ) from None
    return gguf
