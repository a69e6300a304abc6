"""Scores a file of patients through the gateway: split into requests, several in parallel, results in file order."""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Final

from readmission.client import BatchPrediction, Client, RowProblem
from readmission.domain import spreadsheet

from ui.services.uploads import Upload

ROWS: Final = 1000  # per request: the API's limit
_BYTES: Final = 2_500_000  # per request, header included: below the API's 3 MiB
IN_FLIGHT: Final = 4
_IDENTIFIERS: Final = ("encounter_id", "patient_nbr")


@dataclass(frozen=True, slots=True)
class Scores:
    """Results by column, one entry per row of the file; rejected rows have None and a text in `error`.

    `faults` has the rejected rows by what is wrong with them. A row that has several faults is in several lists.
    `request` and `index` are the request that a row was sent with, and its place there.
    """

    explain: Callable[[RowProblem], list[str]]
    faults: dict[str, list[int]] = field(default_factory=dict)
    row: list[int] = field(default_factory=list)
    readmitted: list[str] = field(default_factory=list)
    risk: list[float | None] = field(default_factory=list)
    band: list[str] = field(default_factory=list)
    percentile: list[float | None] = field(default_factory=list)
    error: list[str] = field(default_factory=list)
    later: list[float | None] = field(default_factory=list)
    never: list[float | None] = field(default_factory=list)
    request: list[str] = field(default_factory=list)
    index: list[int] = field(default_factory=list)

    def add(self, answer: BatchPrediction) -> None:
        """Append the API's answer to the next rows."""
        for one in answer["predictions"]:
            self.row.append(len(self.row) + 1)
            self.request.append(answer["request_id"])
            self.index.append(one["index"])
            forecast, problem = one.get("prediction"), one.get("problem")
            faults = self.explain(problem) if problem else []
            for fault in faults:
                self.faults.setdefault(fault, []).append(self.row[-1])
            self.error.append(spreadsheet.cell("; ".join(faults)))
            self.readmitted.append(forecast["readmitted"] if forecast else "")
            risk = forecast["early_risk"] if forecast else None
            self.risk.append(risk["probability"] if risk else None)
            self.band.append((risk["band"] if risk else None) or "")
            self.percentile.append(risk["percentile"] if risk else None)
            self.later.append(forecast["probabilities"][">30"] if forecast else None)
            self.never.append(forecast["probabilities"]["NO"] if forecast else None)


def identifiers(upload: Upload) -> dict[str, list[str]]:
    """The columns that identify a patient or an encounter, if the file has them, safe for a spreadsheet."""
    columns: dict[str, list[str]] = {}
    for name in _IDENTIFIERS:
        if name in upload.header:
            index = upload.header.index(name)
            columns[name] = [spreadsheet.cell(row[index]) if index < len(row) else "" for row in upload.rows]
    return columns


def score(
    upload: Upload,
    connect: Callable[[], Client],
    progress: Callable[[int], None],
    explain: Callable[[RowProblem], list[str]],
) -> Scores:
    """The forecasts of all rows. `progress` gets the number of finished rows, `explain` words each fault of a row.

    Raises ApiProblem or ApiUnreachable of the first request that fails; no further request is started.
    """
    scores = Scores(explain)
    clients: SimpleQueue[Client] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(IN_FLIGHT):
            clients.put(stack.enter_context(connect()))
        pool = stack.enter_context(ThreadPoolExecutor(IN_FLIGHT))

        def send(text: str) -> BatchPrediction:
            client = clients.get()
            try:
                return client.predict_csv_rows(text)
            finally:
                clients.put(client)

        waiting: deque[Future[BatchPrediction]] = deque()
        try:
            for piece in pieces(upload):
                waiting.append(pool.submit(send, piece))
                if len(waiting) > IN_FLIGHT:
                    scores.add(waiting.popleft().result())
                    progress(len(scores.row))
            while waiting:
                scores.add(waiting.popleft().result())
                progress(len(scores.row))
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    return scores


def pieces(upload: Upload) -> Iterator[str]:
    """The file as CSV texts within the API's limits, each with the header."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(upload.header)
    start = text.tell()
    rows = count()
    for row in upload.rows:
        if (next(rows) % ROWS == 0 and text.tell() > start) or text.tell() > _BYTES:
            yield text.getvalue()
            text.seek(start)
            text.truncate()
            rows = count(1)
        write(row)
    yield text.getvalue()
