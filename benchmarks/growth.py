"""How barbule grows beside bare DuckDB: 10k to 5M rows, and the memory that a large file takes.

The figures are how many times as long barbule takes; what to reach holds at the largest size,
as a small table takes little beside what every operation costs once.
"""

from __future__ import annotations

import base64
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sides import OURS, Side

from tables import turns

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
ROUNDS = 5
FILE_GB = 5.0
TEXT = 256  # characters of each row of the large file
GROUP_ROWS = 122_880  # of a row group, DuckDB's own size

# What to reach, in times of what bare DuckDB takes.
OPERATIONS = {
    "insert_arrow": ("insert from Arrow", 2.0),
    "latest_untouched": ("filter + aggregate, never changed", 1.2),
    "latest_changed": ("filter + aggregate, after 100 updates", 2.5),
    "back_100": ("filter + aggregate, 100 versions back", 4.0),
}
OVERHEAD = "small query, overhead over bare DuckDB"
PEAK = "peak memory while inserting a Parquet file of {:g} GB (MB)"
LIMITS: dict[str, float] = {OVERHEAD: 10.0}
DETAILS: dict[str, object] = {}

Medians = dict[str, dict[str, float]]


def _medians(size: int, rounds: int) -> Medians:
    """Measure all operations at a size, each side in a fresh process."""
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(name, "growth", "--rows", str(size))) for name in OURS]
        found = {}
        for operation in (*OPERATIONS, "small_query"):
            times = turns(operation, sides, rounds)
            found[operation] = {name: statistics.median(each) for name, each in times.items()}
    return found


def write_parquet(path: Path, gigabytes: float) -> int:
    """Write a file of random text, which cannot be made smaller, and return its rows."""
    noise = np.random.default_rng(0)
    offsets = pa.py_buffer((np.arange(GROUP_ROWS + 1) * TEXT).astype("int32"))
    schema = pa.schema({"number": pa.int64(), "text": pa.string(), "value": pa.float64()})
    groups = max(1, round(gigabytes * 1e9 / (GROUP_ROWS * (TEXT + 16))))
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for group in range(groups):
            text = pa.py_buffer(base64.b64encode(noise.bytes(GROUP_ROWS * TEXT // 4 * 3)))
            columns = [
                pa.array(np.arange(GROUP_ROWS) + group * GROUP_ROWS),
                pa.StringArray.from_buffers(GROUP_ROWS, offsets, text),
                pa.array(noise.random(GROUP_ROWS)),
            ]
            batch = pa.record_batch(columns, schema=schema)
            writer.write_batch(batch, row_group_size=GROUP_ROWS)
    return groups * GROUP_ROWS


def _memory(gigabytes: float) -> dict[str, dict[str, float]]:
    """Insert the large file, each side in a fresh process; it is deleted with the home."""
    found = {}
    for name in OURS:
        with Side(name, "growth", "--rows", "1") as side:
            rows = write_parquet(Path(side.folder.name, "big.parquet"), gigabytes)
            reply = side.ask("insert_parquet")
        if reply["answer"]["rows"] != rows:
            raise SystemExit(f"{name} inserted {reply['answer']['rows']} of {rows} rows")
        found[name] = {"peak_mb": reply["answer"]["peak_mb"], "seconds": reply["ms"] / 1000}
    return found


def measure(
    *,
    sizes: Sequence[int] = SIZES,
    largest: int = SIZES[-1],
    rounds: int = ROUNDS,
    gigabytes: float = FILE_GB,
) -> dict[str, float]:
    """Return ratios by size, the overhead in milliseconds and the peak in MB."""
    sizes = [size for size in sizes if size <= largest]
    by_size = {size: _medians(size, rounds) for size in sizes}
    memory = _memory(gigabytes)
    figures = {}
    for operation, (label, limit) in OPERATIONS.items():
        for size in sizes:
            name = f"{label}, {size:,} rows (times bare DuckDB)"
            each = by_size[size][operation]
            figures[name] = each["barbule"] / each["duckdb"]
        LIMITS[name] = limit  # at the largest size
    small = by_size[sizes[0]]["small_query"]
    figures[OVERHEAD] = small["barbule"] - small["duckdb"]
    figures[PEAK.format(gigabytes)] = memory["barbule"]["peak_mb"]
    LIMITS[PEAK.format(gigabytes)] = 1500.0
    DETAILS.update(
        by_size_ms={str(size): each for size, each in by_size.items()},
        labels={operation: label for operation, (label, _) in OPERATIONS.items()},
        memory=memory,
        rounds=rounds,
    )
    return figures
