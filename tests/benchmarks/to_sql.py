"""Loads a file with pandas' `to_sql`: `python -m tests.benchmarks.to_sql file.csv to_sql|multi`."""

import json
import os
import sys
import time

import pandas as pd
from sqlalchemy import URL, LargeBinary, create_engine

from tests.benchmarks.subject import peak_mb


def main() -> None:
    user, password, host, port = json.loads(os.environ["BENCH_DATABASE"])
    engine = create_engine(URL.create("postgresql+pg8000", user, password, host, port, "raw"))
    _, file, kind = sys.argv
    # By default one statement per row; with "multi" as many rows as Postgres accepts parameters.
    options = {"method": "multi", "chunksize": 65_535 // len(pd.read_csv(file, nrows=0).columns)}
    began = time.perf_counter()
    table = pd.read_csv(file, keep_default_na=False, dtype=_types(), parse_dates=["delivered_at"])
    table["row_hash"] = [bytes.fromhex(digits.removeprefix("\\x")) for digits in table["row_hash"]]
    table.to_sql(
        "diabetes_raw",
        engine,
        if_exists="append",
        index=False,
        dtype={"row_hash": LargeBinary()},
        **(options if kind == "multi" else {}),
    )
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "mb": peak_mb()}))


def _types() -> dict[str, type]:
    """Diagnoses and other codes are texts, even where a file has only numbers."""
    texts = ("row_hash", "split", "weight", "diag_1", "diag_2", "diag_3", "payer_code")
    return dict.fromkeys(texts, str)


if __name__ == "__main__":
    main()
