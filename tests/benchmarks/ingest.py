"""Loading rows: our ingest, `psql \\copy` into the same table, and pandas' `to_sql`."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import batched, islice
from pathlib import Path
from statistics import median
from typing import Any, cast

from readmission.domain.contract import NAMES, sql_name
from readmission.domain.splits import split_of
from readmission.pipeline import sources
from readmission.pipeline.ingest import row_hash

from infra.local.servers import postgres
from tests.benchmarks import deployment, growth, server, steps
from tests.benchmarks.cold import DOMAIN, ROOT
from tests.benchmarks.report import Figure
from tests.platforms import Platform

_LINEAGE = ("row_hash", "split", "row_number", "batch_id", "data_kind", "delivered_at")
COLUMNS = (*_LINEAGE, *map(sql_name, NAMES))
_ROWS, _BATCH = 60_000, 15_000  # the default batch size
_SQL_ROWS = 3_000  # two seconds, so that its start-up does not matter


def measure(platform: Platform, folder: Path, rounds: int) -> dict[str, Figure]:
    """Each starts with an empty table. Ours runs in one process, batch by batch, like a warm function.

    Ours includes fetching the batches from S3, their check and their hashes. The first batch of a process makes its
    clients, too: it counts in `ingest_cold` alone. psql gets all that the table holds of the rows, hashes included, in
    one file and one command, and is measured with a command for each batch, too.
    """
    rows = _rows(_ROWS)
    source = _put_source(platform, rows)
    whole = _file(folder / "rows.csv", rows)
    batches = [
        _file(folder / f"rows-{number}.csv", some) for number, some in enumerate(batched(rows, _BATCH, strict=False))
    ]
    few = _file(folder / "few.csv", rows[:_SQL_ROWS])
    took: dict[str, list[float]] = {name: [] for name in ("ours", "cold", "psql", "psql_batches", "to_sql", "multi")}
    memory: dict[str, float] = {}

    def ours(number: int) -> None:
        known = _ingest(platform, folder / "ingest.json", source, f"ingest-{number}")
        _check_rows(platform, len(rows))
        warm = known["batches"][1:]
        took["ours"].append((len(rows) - _BATCH) / sum(warm))
        took["cold"].append(len(rows) / sum(known["batches"]))
        memory["ours"] = max(known["measured"]["ingest"]["mb"], memory.get("ours", 0.0))

    def psql(_: int) -> None:
        took["psql"].append(len(rows) / _loaded(platform, len(rows), lambda: _psql(platform, whole)))
        each = _loaded(platform, len(rows), lambda: sum(_psql(platform, file) for file in batches))
        took["psql_batches"].append(len(rows) / each)

    def to_sql(_: int) -> None:
        for name in ("to_sql", "multi"):
            found = _loaded(platform, _SQL_ROWS, lambda name=name: _to_sql(platform, few, name))
            took[name].append(_SQL_ROWS / found["seconds"])
            memory[name] = max(found["mb"], memory.get(name, 0.0))

    _ingest(platform, folder / "ingest.json", source, "first")  # also creates the table
    for number in range(rounds):
        deployment.tell(f"ingest, round {number + 1} of {rounds} ...")
        for measured in (ours, psql, to_sql)[:: 1 if number % 2 else -1]:
            measured(number)
    return {
        **{name: _figure(took[mine], took[peer]) for name, (mine, peer) in _FIGURES.items()},
        "ingest_rss": Figure(memory["ours"], memory["to_sql"], memory["to_sql"] / memory["ours"]),
    }


_FIGURES = {
    "ingest_psql": ("ours", "psql"),
    "ingest_psql_batches": ("ours", "psql_batches"),
    "ingest_cold": ("cold", "psql"),
    "ingest_sql": ("ours", "to_sql"),
    "ingest_sql_multi": ("ours", "multi"),
}


def _ingest(platform: Platform, state: Path, source: str, execution: str) -> dict[str, Any]:
    environment = deployment.environment(platform, "ingest")
    platform.empty_databases()
    state.write_text(json.dumps(steps.new_state(source, _BATCH, execution)))
    growth.run_steps(state, environment, "plan")
    growth.run_steps(state, environment, "ingest")
    known: dict[str, Any] = json.loads(state.read_text())
    return known


def _loaded[Found](platform: Platform, rows: int, load: Callable[[], Found]) -> Found:
    """Empties the table, runs `load` and checks that it loaded `rows` rows. Answers what `load` answers."""
    platform.query("raw", "TRUNCATE diabetes_raw")
    found = load()
    _check_rows(platform, rows)
    return found


def _check_rows(platform: Platform, rows: int) -> None:
    ((count,),) = platform.query("raw", "SELECT count(*) FROM diabetes_raw")
    if count != rows:
        raise SystemExit(f"the table holds {count} rows instead of {rows}: the rate would mean nothing")


def _figure(ours: Sequence[float], peers: Sequence[float]) -> Figure:
    return Figure(median(ours), median(peers), median(mine / its for mine, its in zip(ours, peers, strict=True)))


def _rows(count: int) -> list[list[str]]:
    archive = os.environ.get("DIABETES_DATA")
    with server.serve({"/archive.zip": Path(archive).read_bytes()} if archive else {}) as address:
        source = f"{address}/archive.zip" if archive else f"synthetic:rows={count},seed=1"
        with sources.open_rows(source, cast(Any, None), server.SETTINGS) as rows:
            return list(islice(rows, count))


def _put_source(platform: Platform, rows: list[list[str]]) -> str:
    lines = "\n".join([",".join(NAMES), *(",".join(row) for row in rows)])
    platform.client("s3").put_object(Bucket=deployment.BUCKETS[0], Key="sources/rows.csv", Body=lines.encode())
    return f"s3://{deployment.BUCKETS[0]}/sources/rows.csv"


def _file(path: Path, rows: Sequence[list[str]]) -> Path:
    """The rows with every column of the table, prepared before anything is measured."""
    now = datetime.now(UTC).isoformat()
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, row in enumerate(rows, start=1):
            patient = row[NAMES.index("patient_nbr")]
            writer.writerow([f"\\x{row_hash(row)}", split_of(patient), number, "a batch", "synthetic", now, *row])
    return path


def _psql(platform: Platform, file: Path) -> float:
    """The duration of the whole command (s); its start-up is a few hundredths of a second of it."""
    database = postgres.database(platform.settings)
    command = f"\\copy diabetes_raw ({', '.join(COLUMNS)}) FROM '{file}' WITH (FORMAT csv, HEADER)"
    address = ["-h", database.host, "-p", str(database.port), "-U", database.user, "-d", "raw"]
    began = time.perf_counter()
    subprocess.run(
        [postgres.binaries() / "psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", *address, "-c", command],
        env={**os.environ, "PGPASSWORD": database.password},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def _to_sql(platform: Platform, file: Path, method: str) -> dict[str, float]:
    database = postgres.database(platform.settings)
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.to_sql", str(file), method],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(DOMAIN),
            "BENCH_DATABASE": json.dumps([database.user, database.password, database.host, database.port]),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(finished.stdout)
    return found
