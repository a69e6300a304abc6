"""One chunk of a scoring job, and its end.

A chunk writes its results, then its forecasts to the prediction log, and last the counts that say that it is done. What
it looks up is kept before it is used, so that a chunk that is repeated comes to the same.
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

from pg8000.native import Connection

from readmission.bulk import log, model, plan, results, rows
from readmission.bulk.job_files import JobFiles
from readmission.bulk.model import JobModel
from readmission.bulk.results import Scored
from readmission.domain import jobs
from readmission.domain.features import inputs_of
from readmission.domain.jobs import ChunkResult, Explain, JobResult
from readmission.errors import RowsMissing, ScorerInvalid, SourceNotFound
from readmission.http.problems import sentence
from readmission.serving.encounters import Asked
from readmission.serving.explanation import explain_many
from readmission.serving.forecasts import forecast_by
from readmission.serving.patient_history import EarlierStays

if TYPE_CHECKING:
    from readmission.registry.production import MlflowRegistry

type Connect = Callable[[], AbstractContextManager[Connection]]

_EXPLAINED_BANDS: Final = ("high", "very high")
_CSV: Final = "text/csv"


@dataclass(frozen=True, slots=True)
class Databases:
    """How a chunk gets to Postgres: to read histories, and to write the prediction log if there is one."""

    histories: Connect
    prediction_log: Connect | None = None
    key_of: log.Hash | None = None


def score(chunk: int, files: JobFiles, registry: "MlflowRegistry", databases: Databases) -> ChunkResult:
    """Score one chunk.

    Raises `SourceNotFound` if the job's files are gone, `ModelUnavailable`, `ScorerInvalid`, `ExplanationUnavailable`,
    `DatabaseUnavailable`, `StorageUnavailable`, `PatientKeyUnavailable` and `NotMigrated`.
    """
    counts = f"{jobs.COUNTS}{chunk:04d}.json"
    if (done := files.document(counts)) is not None:
        return cast(ChunkResult, done)
    document = _plan(files)
    used = model.of_plan(document, registry)
    read = rows.read(plan.read_chunk(files, document, chunk))
    _fill_in(read, chunk, files, used.version.data_kind, databases)
    scored, refused = _score(read, used, document["explain"])
    _write(scored, refused, chunk, files, explained=document["explain"] != "none")
    if databases.prediction_log and databases.key_of:
        served = (used.version, used.scorer)
        log.write(scored, files.job, document["started_at"], served, databases.prediction_log(), databases.key_of)
    result: ChunkResult = {"chunk": chunk, "answered": len(scored), "refused": len(refused)}
    return cast(ChunkResult, files.once(counts, lambda: result))


def finish(files: JobFiles) -> JobResult:
    """Put the results of the chunks together, and delete what is not needed any more.

    Raises `SourceNotFound`, `RowsMissing` if rows are not accounted for, and `StorageUnavailable`.
    """
    document = _plan(files)
    found = files.document(jobs.RESULT)
    if found is None:
        total = _counts(files, document)
        try:
            _join(files, document["chunks"], "results", jobs.CSV)
            _join(files, document["chunks"], "refused", jobs.REFUSED)
        except SourceNotFound:
            # A second one that runs beside this has put them together, and deletes them.
            if files.document(jobs.RESULT) is None:
                raise
        found = files.once(jobs.RESULT, lambda: _result(files, document, total))
    files.delete(jobs.WORK)
    return cast(JobResult, found)


def _plan(files: JobFiles) -> dict[str, Any]:
    document: dict[str, Any] | None = files.document(jobs.PLAN)
    if document is None:
        raise SourceNotFound(f"the plan of the job {files.job} is no longer in S3; start another job")
    return document


def _fill_in(read: Sequence[rows.Read], chunk: int, files: JobFiles, data_kind: str, databases: Databases) -> None:
    patients = [patient for _, patient in rows.asking(read)]
    if not patients:
        return
    found = files.once(
        f"{jobs.WORK}histories-{chunk:04d}.json",
        lambda: [asdict(one) for one in rows.look_up(patients, data_kind, databases.histories())],
    )
    rows.fill_in(read, [EarlierStays(**one) for one in found])


def _score(
    read: Sequence[rows.Read], used: JobModel, which: Explain
) -> tuple[list[Scored], list[tuple[int, dict[str, Any]]]]:
    """The rows that have a forecast, and the problems of the others."""
    asked = [(number, row) for number, row in read if isinstance(row, Asked)]
    refused = [(number, row) for number, row in read if not isinstance(row, Asked)]
    scored = []
    shares = used.probabilities([inputs_of(row.fields) for _, row in asked])
    for (number, row), found in zip(asked, shares, strict=True):
        if isinstance(found, ScorerInvalid):
            refused.append((number, {"detail": sentence(str(found)), "errors": []}))
            continue
        scored.append(Scored(number, row, forecast_by(used.scorer, found)))
    _explain([one for one in scored if _is_wanted(one, which)], used)
    return scored, sorted(refused, key=lambda one: one[0])


def _is_wanted(one: Scored, which: Explain) -> bool:
    return which == "all" or (which == "high" and one.forecast["early_risk"]["band"] in _EXPLAINED_BANDS)


def _explain(wanted: Sequence[Scored], used: JobModel) -> None:
    found = explain_many(used.scorer, used.evaluate, [one.asked.fields for one in wanted])
    for one, explanation in zip(wanted, found, strict=True):
        one.explanation = explanation


def _write(
    scored: Sequence[Scored],
    refused: Sequence[tuple[int, dict[str, Any]]],
    chunk: int,
    files: JobFiles,
    *,
    explained: bool,
) -> None:
    files.write(_part("results", chunk), results.csv_of(scored, explained=explained), _CSV)
    files.write(_part("refused", chunk), results.refused_csv_of(refused), _CSV)
    files.write(f"{jobs.PARQUET}part-{chunk:04d}.parquet", results.parquet_of(scored, explained=explained))


def _part(kind: str, chunk: int) -> str:
    return f"{jobs.WORK}{kind}-{chunk:04d}.csv"


def _counts(files: JobFiles, document: dict[str, Any]) -> tuple[int, int]:
    """The numbers of rows with and without a forecast, which must be all rows."""
    answered = refused = 0
    for name in files.names(jobs.COUNTS):
        counts = files.document(name) or {"answered": 0, "refused": 0}
        answered += counts["answered"]
        refused += counts["refused"]
    if answered + refused != document["rows"]:
        raise RowsMissing(f"of {document['rows']} rows, {answered + refused} were scored or refused; start another job")
    return answered, refused


def _join(files: JobFiles, chunks: int, kind: str, name: str) -> None:
    """One CSV of those of the chunks, whose first lines are the same. On disk, in memory is one of them."""
    with tempfile.TemporaryFile() as joined:
        for chunk in range(1, chunks + 1):
            part = files.read(_part(kind, chunk))
            if part is None:
                raise SourceNotFound(f"the results of the job {files.job} are no longer in S3; start another job")
            _append(part, joined, with_header=chunk == 1)
        joined.seek(0)
        files.upload(name, joined, _CSV)


def _append(part: bytes, joined: IO[bytes], *, with_header: bool) -> None:
    with io.BytesIO(part) as lines:
        header = lines.readline()
        if with_header:
            joined.write(header)
        joined.write(lines.read())


def _result(files: JobFiles, document: dict[str, Any], total: tuple[int, int]) -> JobResult:
    version = document["version"]
    return {
        "job": files.job,
        "source": document["source"],
        "model_name": version["name"],
        "model_version": version["number"],
        "data_kind": version["data_kind"],
        "rows": document["rows"],
        "answered": total[0],
        "refused": total[1],
        "results": files.key(jobs.CSV),
        "refused_rows": files.key(jobs.REFUSED),
        "parquet": files.key(jobs.PARQUET),
    }
