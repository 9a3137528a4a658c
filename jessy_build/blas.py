"""Put an optimised BLAS under MLX on a Linux CPU, where its wheel brings the reference one.

MLX calls three matrix products through slots that the dynamic linker fills. They are pointed at a
faster library after the load, so neither the order of imports nor a symbol prefix matters. What
cannot be used is passed over, and the returned value says why.
"""

import ctypes
import mmap
import os
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PRODUCTS = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")
PREFIXES = ("", "scipy_")
PROBE_SECONDS = 0.1
ELF_MAGIC = b"\x7fELF\x02\x01"  # 64 bit, little-endian
PT_LOAD, PT_DYNAMIC = 1, 2
DT_PLTRELSZ, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_JMPREL = 2, 5, 6, 7, 8, 23
ONE_THREAD = ("openblas_set_num_threads", "scipy_openblas_set_num_threads", "MKL_Set_Num_Threads")
SLOT_KINDS = {62: (6, 7), 183: (1025, 1026)}
"""Machine (x86-64, aarch64) → its relocations GLOB_DAT and JUMP_SLOT."""


@dataclass(frozen=True, slots=True)
class Blas:
    name: str
    path: str
    how: str
    skipped: tuple[str, ...] = ()
    """Candidates that could not be used, each with its reason."""

    @property
    def fast(self) -> bool:
        return self.name != "reference"


@dataclass(frozen=True, slots=True)
class _Mapped:
    """One line of /proc/self/maps."""

    start: int
    end: int
    rights: str
    offset: int
    path: str


class _NotUsable(Exception):
    """This library cannot take the place; the text is the reason."""


def install(env: Mapping[str, str] | None = None) -> Blas:
    """Safe to call twice, before or after `import mlx.core`, in every process that computes."""
    if sys.platform != "linux":
        return Blas("Accelerate", "", "MLX uses the system's own")
    wish = (os.environ if env is None else env).get("JESSY_BLAS", "")
    if wish == "none":
        return Blas("reference", "", "JESSY_BLAS=none")
    skipped: list[str] = []
    for name, path in _candidates(wish):
        try:
            how = _use(path)
        except (_NotUsable, ImportError, OSError, ValueError, struct.error) as problem:
            skipped.append(f"{name}: {problem}")
        else:
            return Blas(name, path, how, tuple(skipped))
    return Blas("reference", "", "no optimised BLAS found here", tuple(skipped))


def use_one_thread(blas: Blas) -> None:
    """From now on, for all of this process. Products of one token are small: threads that meet at
    each of them lose more than they win, and on a busy machine ten times as much."""
    if not blas.path:
        return
    library = ctypes.CDLL(blas.path)
    for name in ONE_THREAD:
        if hasattr(library, name):
            getattr(library, name)(ctypes.c_int(1))
            return


def probe(size: int = 1024) -> float:
    """GFLOP/s of one fp32 matrix product as MLX computes it here and now."""
    import mlx.core as mx

    square = mx.random.normal((size, size), key=mx.random.key(0))
    mx.eval(square)
    best = spent = _seconds(square)
    # The first product may wake threads up; a slow BLAS has shown enough with it.
    while spent < PROBE_SECONDS:
        took = _seconds(square)
        best, spent = min(best, took), spent + took
    return float(2 * size**3 / best / 1e9)


def _seconds(square: Any) -> float:
    import mlx.core as mx

    begin = time.perf_counter()
    mx.eval(square @ square)
    return time.perf_counter() - begin


def _candidates(wish: str) -> Iterator[tuple[str, str]]:
    if wish:
        yield "JESSY_BLAS", wish
    for file in sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*")):
        yield "MKL", str(file)
    spec = find_spec("scipy_openblas32")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder, "lib").glob("libscipy_openblas*.so")):
            yield "OpenBLAS (scipy-openblas32)", str(file)
    yield "OpenBLAS (system)", "libopenblas.so.0"


def _use(path: str) -> str:
    # Global, since MKL's parts look each other up by name once it starts to compute.
    addresses = _addresses(ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL))
    import mlx.core  # noqa: F401

    maps = _maps()
    library = next((m for m in maps if m.path.endswith("/libmlx.so") and m.offset == 0), None)
    if library is None:
        raise _NotUsable("MLX is here, but its libmlx.so is not among the loaded files")
    slots = _slots(Path(library.path), library.start)
    if missing := set(PRODUCTS) - slots.keys():
        raise _NotUsable(f"libmlx.so has no slot for {', '.join(sorted(missing))}")
    for name, slot in slots.items():
        _point(slot, addresses[name], maps)
    return f"{len(slots)} products of libmlx.so point to it"


def _addresses(library: ctypes.CDLL) -> dict[str, int]:
    for prefix in PREFIXES:
        if all(hasattr(library, prefix + name) for name in PRODUCTS):
            return {name: _address(getattr(library, prefix + name)) for name in PRODUCTS}
    raise _NotUsable(f"it has no {PRODUCTS[0]}")


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _maps() -> list[_Mapped]:
    found = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, rights, offset, _, _, *path = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        found.append(_Mapped(start, end, rights, int(offset, 16), path[0] if path else ""))
    return found


def _slots(file: Path, start: int) -> dict[str, int]:
    """Where in memory the addresses of the products are kept, read from the library's own tables.

    The tables are read from the file: a wrong guess there is an exception, in memory a crash.
    """
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:6] != ELF_MAGIC:
            raise _NotUsable("libmlx.so is no 64-bit little-endian ELF file")
        (machine,) = struct.unpack_from("<H", data, 18)
        if machine not in SLOT_KINDS:
            raise _NotUsable(f"ELF machine {machine} is not known here")
        segments = _segments(data)
        bias = start - min(s.address for s in segments if s.kind == PT_LOAD and s.offset == 0)
        return {
            name: bias + address
            for name, address in _relocations(data, segments, SLOT_KINDS[machine])
            if name in PRODUCTS
        }


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def _segments(data: mmap.mmap) -> list[_Segment]:
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    found = []
    for at in range(table, table + size * count, size):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, at)
        found.append(_Segment(kind, offset, address, length))
    return found


def _relocations(
    data: mmap.mmap, segments: list[_Segment], kinds: tuple[int, ...]
) -> Iterator[tuple[str, int]]:
    dynamic = _dynamic(data, segments)
    symbols = _in_file(dynamic[DT_SYMTAB], segments)
    strings = _in_file(dynamic[DT_STRTAB], segments)
    for begin, length in ((DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)):
        if begin not in dynamic:
            continue
        table = _in_file(dynamic[begin], segments)
        for at in range(table, table + dynamic[length], 24):
            address, info, _ = struct.unpack_from("<QQq", data, at)
            if info & 0xFFFFFFFF in kinds:
                (name,) = struct.unpack_from("<I", data, symbols + 24 * (info >> 32))
                text = data[strings + name : data.find(b"\0", strings + name)]
                yield text.decode("ascii", "replace"), address


def _dynamic(data: mmap.mmap, segments: list[_Segment]) -> dict[int, int]:
    segment = next(s for s in segments if s.kind == PT_DYNAMIC)
    pairs = struct.iter_unpack("<qQ", data[segment.offset : segment.offset + segment.size])
    return dict(pairs)


def _in_file(address: int, segments: list[_Segment]) -> int:
    for s in segments:
        if s.kind == PT_LOAD and s.address <= address < s.address + s.size:
            return s.offset + address - s.address
    raise _NotUsable(f"no segment of libmlx.so holds address {address:#x}")


def _point(slot: int, target: int, maps: list[_Mapped]) -> None:
    home = _holding(slot, maps)
    if home is None or "r" not in home.rights:
        raise _NotUsable("a slot of libmlx.so lies outside the mapped memory")
    place = ctypes.c_uint64.from_address(slot)
    now = _holding(place.value, maps)
    if now is None or "x" not in now.rights:
        raise _NotUsable("a slot of libmlx.so holds no address of code")
    if "w" not in home.rights:
        _make_writable(slot)
    place.value = target


def _holding(address: int, maps: list[_Mapped]) -> _Mapped | None:
    return next((m for m in maps if m.start <= address < m.end), None)


def _make_writable(slot: int) -> None:
    page = mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.c_void_p(slot // page * page)
    if libc.mprotect(start, ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE) != 0:
        raise OSError(ctypes.get_errno(), "the memory of libmlx.so may not be written")
