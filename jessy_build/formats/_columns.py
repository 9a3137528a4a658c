"""A program of its own: columns on its input → rows on its output, a JSON value a line.

First the names of all columns, then the rows, each an object; at last a text, where the file is
damaged. A damaged file may end this program where it stands, and then nobody else.
"""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

STREAM = b"\xff\xff\xff\xff"
"""Begins a stream of Arrow's, which is what `save_to_disk` writes."""
MAGIC = b"PAR1"
AT_ONCE = 256


def main(wanted: Sequence[str]) -> None:
    data = sys.stdin.buffer.read()
    try:
        for line in _lines(data, wanted):
            sys.stdout.buffer.write(line + b"\n")
    except Exception as error:
        reason = str(error).partition("error: ")[2] or str(error)
        sys.stdout.buffer.write(json.dumps(reason).encode() + b"\n")


def _lines(data: bytes, wanted: Sequence[str]) -> Iterator[bytes]:
    import arro3.io as aio

    reader: Any
    if data.startswith(STREAM):
        reader = aio.read_ipc_stream(io.BytesIO(data))
    elif data.startswith(MAGIC) and data.endswith(MAGIC):
        reader = aio.read_parquet(data, batch_size=AT_ONCE)
    else:
        raise ValueError("it is no Parquet file, or was cut off")
    names = [field.name for field in reader.schema]
    yield json.dumps(names).encode()
    read = [name for name in names if name in wanted]
    while (batch := next(reader, None)) is not None:
        made = io.BytesIO()
        # What is null is left out.
        aio.write_ndjson(batch.select(read), made)
        yield from made.getvalue().splitlines()


if __name__ == "__main__":
    main(sys.argv[1:])
