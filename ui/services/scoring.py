"""A file of patients through the gateway: in pieces that it takes, several at once, and back in the file's order."""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Final, Literal

from readmission.client import Client

ROWS: Final = 1000  # of a request: the API's limit
_BYTES: Final = 2_500_000  # of a request: below the API's 3 MiB, header included
IN_FLIGHT: Final = 4
_IDENTIFIERS: Final = ("encounter_id", "patient_nbr")

type Complaint = Literal["empty", "encoding", "header", "rows"]


class FileRefused(Exception):
    """The file cannot be sent; `complaint` says why, in a word that the page has a text for."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint)
        self.complaint: Complaint = complaint


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that can be sent: its header, and its rows, of as many cells as they have."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Scores:
    """The answer by columns; what is None was refused, for the reason in `error`."""

    row: list[int] = field(default_factory=list)
    readmitted: list[str] = field(default_factory=list)
    risk: list[float | None] = field(default_factory=list)
    band: list[str] = field(default_factory=list)
    percentile: list[float | None] = field(default_factory=list)
    error: list[str] = field(default_factory=list)
    later: list[float | None] = field(default_factory=list)
    never: list[float | None] = field(default_factory=list)

    def add(self, text: str) -> None:
        """The API's CSV of the next piece."""
        for line in csv.DictReader(io.StringIO(text)):
            self.row.append(len(self.row) + 1)
            self.readmitted.append(line["readmitted"])
            self.risk.append(_number(line["early_risk"]))
            self.later.append(_number(line["probability_>30"]))
            self.never.append(_number(line["probability_NO"]))
            self.band.append(line["band"])
            self.percentile.append(_number(line["percentile"]))
            self.error.append(line["error"])


def read(content: bytes) -> Upload:
    """Raises FileRefused for what is no CSV with a header and rows; what the fields hold is the API's to judge."""
    if not content.strip():
        raise FileRefused("empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileRefused("encoding") from error
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise FileRefused("header") from error
    header = [name.strip() for name in lines[0]]
    if "\0" in text or len(header) < 2:
        raise FileRefused("header")
    if len(lines) == 1:
        raise FileRefused("rows")
    return Upload(header, lines[1:])


def identifiers(upload: Upload) -> dict[str, list[str]]:
    """The columns by which a reader finds a patient again, where the file has them."""
    found = {}
    for name in _IDENTIFIERS:
        if name in upload.header:
            place = upload.header.index(name)
            found[name] = [row[place] if place < len(row) else "" for row in upload.rows]
    return found


def score(upload: Upload, connect: Callable[[], Client], progress: Callable[[int], None]) -> Scores:
    """The forecasts of all rows; `progress` is told how many are done.

    Raises ApiProblem or ApiUnreachable of the first request that fails, after which no other is begun.
    """
    scores = Scores()
    clients: SimpleQueue[Client] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(IN_FLIGHT):
            clients.put(stack.enter_context(connect()))
        pool = stack.enter_context(ThreadPoolExecutor(IN_FLIGHT))

        def ask(text: str) -> str:
            client = clients.get()
            try:
                return client.predict_csv(text)
            finally:
                clients.put(client)

        waiting: deque[Future[str]] = deque()
        try:
            for piece in pieces(upload):
                waiting.append(pool.submit(ask, piece))
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
    """The file as CSVs that the API takes, each with the header."""
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


def _number(text: str) -> float | None:
    return float(text) if text else None
