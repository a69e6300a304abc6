"""What the data bucket holds of one patient: batches, delivered files, exports for training and logged forecasts.

A file is rewritten without the patient's rows only if it has some, so that all of this may be repeated.
"""

import csv
import gzip
import io
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

from botocore.exceptions import ClientError

from readmission.domain.contract import MAX_COLUMNS, NAMES
from readmission.domain.jobs import INCOMING, JOBS, UPLOADS
from readmission.domain.predictions import CLAIMS
from readmission.errors import MappingInvalid
from readmission.pipeline import json_lines, mapping_file, plan
from readmission.pipeline.mapped_fields import Copied
from readmission.pipeline.patient_rows import Patient
from readmission.pipeline.table_file import starts_object
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EXPORTS: Final = "training/"
_NAME: Final = "patient_nbr"
_PATIENT: Final = NAMES.index(_NAME)
_COPIED: Final = Copied(_NAME)
# What zipfile, gzip and csv raise for a damaged or another file, and what a mapping of an earlier release may.
_UNREADABLE: Final = (
    MappingInvalid,
    zipfile.BadZipFile,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    csv.Error,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class File:
    """An object in the bucket, and how many rows of the patient it has."""

    key: str
    rows: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """The data bucket. With `rewrites`, what is found is taken out of the files."""

    name: str
    s3: "S3Client"
    rewrites: bool = False

    def batches(
        self, patient: Patient, sites: Mapping[str, Collection[str]], unloaded: Collection[str]
    ) -> tuple[list[File], dict[str, int]]:
        """The batches with rows of the patient, and how many rows each `unloaded` batch has without them.

        `sites` are those of each delivered batch. A batch that no delivery has is what a broken-off plan left.
        """
        files: list[File] = []
        left: dict[str, int] = {}
        for key in self._keys(plan.BATCHES):
            batch_id = key.removeprefix(plan.BATCHES).removesuffix(plan.BATCH_ENDING)
            if patient.site not in sites.get(batch_id, (patient.site,)):
                continue
            text = plan.read_text(self.name, key, self.s3)
            if batch_id not in unloaded and str(patient.number) not in text:
                continue
            rows = list(csv.reader(io.StringIO(text, newline="")))
            others = [row for row in rows if not _is(row[_PATIENT], patient.number)]
            if len(others) < len(rows):
                files.append(File(key, len(rows) - len(others)))
                if self.rewrites:
                    plan.write_text(self.name, key, plan.to_csv(others).encode(), self.s3)
            if batch_id in unloaded:
                left[batch_id] = len(others)
        return files, left

    def deliveries(
        self, patient: Patient, sources: Mapping[str, Collection[str | None]]
    ) -> tuple[list[File], list[str]]:
        """The delivered files in this bucket with rows of the patient, and those that cannot be read.

        `sources` has the mappings that each was read by. A file may have been replaced by one with other columns, so
        that not every mapping needs to fit.
        """
        files, unreadable = [], []
        for source, mappings in sources.items():
            prefix = f"s3://{self.name}/"
            if not source.startswith(prefix):
                continue
            key = source.removeprefix(prefix)
            counts = [self._count(patient, key, mapping) for mapping in mappings]
            read = [count for count in counts if count is not None]
            if not read:
                unreadable.append(source)
            elif any(read):
                files.append(File(key, max(read)))
        return files, unreadable

    def exports(self) -> list[File]:
        """The exports for training, which hold every patient and can be made again; `rows` are not counted (0)."""
        found = [File(key, 0) for key in self._keys(EXPORTS)]
        if self.rewrites:
            for file in found:
                with reachable(self.name):
                    self.s3.delete_object(Bucket=self.name, Key=file.key)
        return found

    def jobs(self) -> int:
        """The files of scoring jobs, which may hold any patient and can be made again."""
        found = list(self._keys(JOBS))
        for key in found if self.rewrites else ():
            with reachable(self.name):
                self.s3.delete_object(Bucket=self.name, Key=key)
        return len(found)

    def to_score(self) -> list[str]:
        """Files that people have uploaded to be scored, of any format; they are not searched."""
        return [*self._keys(INCOMING), *self._keys(UPLOADS)]

    def forecasts(self, is_of_patient: Callable[[Mapping[str, Any]], bool]) -> list[File]:
        """The messages of the prediction log that lie in the bucket and have forecasts of the patient."""
        files = []
        for key in self._keys(CLAIMS):
            content = self._content(key)
            if content is None:
                continue
            message = json.loads(content)
            others = [one for one in message["forecasts"] if not is_of_patient(one)]
            if gone := len(message["forecasts"]) - len(others):
                files.append(File(key, gone))
                if self.rewrites:
                    body = json.dumps({**message, "forecasts": others}).encode()
                    with reachable(self.name):
                        self.s3.put_object(Bucket=self.name, Key=key, Body=body, ContentType="application/json")
        return files

    def _count(self, patient: Patient, key: str, mapping: str | None) -> int | None:
        """The patient's rows in the file, or None if it cannot be read by this mapping."""
        try:
            return self._delivery(patient, key, Layout.of(mapping))
        except _UNREADABLE:
            return None

    def _delivery(self, patient: Patient, key: str, layout: "Layout") -> int:
        with tempfile.TemporaryFile() as old, tempfile.TemporaryFile() as new:
            if not self._download(key, old):
                return 0
            old.seek(0)
            rows = without(old, patient.number, new, layout)
            if rows and self.rewrites:
                new.seek(0)
                with reachable(self.name):
                    self.s3.upload_fileobj(new, self.name, key)
            return rows

    def _download(self, key: str, file: IO[bytes]) -> bool:
        try:
            with reachable(self.name):
                self.s3.download_fileobj(self.name, key, file)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return False  # deleted since it was delivered
            raise
        return True

    def _content(self, key: str) -> bytes | None:
        try:
            with reachable(self.name):
                return self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None  # recorded, and deleted, since it was listed
            raise

    def _keys(self, prefix: str) -> Iterator[str]:
        with reachable(self.name):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        yield from keys


@dataclass(frozen=True, slots=True)
class Layout:
    """How a delivered file is written, and where the number of a patient is."""

    field: Copied = _COPIED
    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."

    @classmethod
    def of(cls, mapping: str | None) -> Self:
        """The layout that a mapping's text describes; that of the contract without one.

        Raises `MappingInvalid`, also if no column of the file has the number.
        """
        if mapping is None:
            return cls()
        known = mapping_file.parse(mapping.encode(), "the mapping")
        field = known.fields.get(_NAME) or _COPIED
        if not isinstance(field, Copied):
            raise MappingInvalid(f"the mapping makes {_NAME!r} of no column")
        return cls(field, known.delimiter, known.encoding, known.decimal)

    def header(self, line: str) -> list[str]:
        """The columns that a file's first line names."""
        return [name.strip() for name in next(csv.reader([line], delimiter=self.delimiter), [])]

    def reading(self) -> str:
        """The encoding to read the file in, with which a mark of UTF-8 at its beginning is skipped."""
        return "utf-8-sig" if self.encoding == "utf-8" else self.encoding


_CONTRACT: Final = Layout()


def without(file: IO[bytes], patient: int, out: IO[bytes], layout: Layout = _CONTRACT) -> int:
    """Copy a delivered file (CSV or JSON lines, also in gzip or zip) without the rows of the patient; returns how many.

    Fields and their order stay; quotes and line ends may change. Raises what the modules for archives, CSV and JSON
    raise for a file that is none of these, and `ValueError` for one without the column of `layout`.
    """
    head = file.read(4)
    file.seek(0)
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return _in_archive(file, patient, out, layout)
    if head[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file) as old, gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as new:
            return _table(cast(IO[bytes], old), patient, cast(IO[bytes], new), layout)
    return _table(file, patient, out, layout)


def _in_archive(file: IO[bytes], patient: int, out: IO[bytes], layout: Layout) -> int:
    found, count = 0, 0
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            copy = zipfile.ZipInfo(info.filename, info.date_time)
            copy.compress_type, copy.external_attr = zipfile.ZIP_DEFLATED, info.external_attr
            with old.open(info) as member, new.open(copy, "w", force_zip64=True) as target:
                name = info.filename.lower()
                if name.endswith(json_lines.ENDINGS) or (name.endswith(".csv") and _has_patients(old, info, layout)):
                    found += _table(member, patient, target, layout)
                    count += 1
                else:
                    shutil.copyfileobj(member, target)
    if not count:
        raise ValueError(f"no table in the archive has the column {layout.field.column!r}")
    return found


def _has_patients(archive: zipfile.ZipFile, info: zipfile.ZipInfo, layout: Layout) -> bool:
    """Whether the member is a table of patients; UCI's archive has one of ids too."""
    with archive.open(info) as member:
        head = member.readline(MAX_COLUMNS * 100).decode(layout.reading(), errors="replace")
    return layout.field.column in layout.header(head)


def _table(file: IO[bytes], patient: int, out: IO[bytes], layout: Layout) -> int:
    buffered = io.BufferedReader(cast(io.RawIOBase, file))
    is_json = starts_object(buffered.peek(200)[:200])
    copied = _json_lines if is_json else _csv
    found = copied(cast(IO[bytes], buffered), patient, out, layout)
    # What is wrapped is the caller's to close.
    buffered.detach()
    return found


def _json_lines(lines: IO[bytes], patient: int, out: IO[bytes], layout: Layout) -> int:
    """Raises ValueError for an object without the patient's number, of whom nobody knows whose it is."""
    found, column = 0, layout.field.column
    number_of = layout.field.maker(_NAME, {column: 0}, ".")
    for line in lines:
        row = json.loads(line.decode("utf-8-sig")) if line.strip() else {column: ""}
        if not isinstance(row, dict) or column not in row:
            raise ValueError(f"a line without {column!r}")
        if _is(number_of([str(row[column])]), patient):
            found += 1
        else:
            out.write(line)
    return found


def _csv(file: IO[bytes], patient: int, out: IO[bytes], layout: Layout) -> int:
    text = io.TextIOWrapper(file, layout.reading(), newline="")
    target = io.TextIOWrapper(out, layout.encoding, newline="", write_through=True)
    writer = csv.writer(target, delimiter=layout.delimiter, lineterminator="\n")
    rows = csv.reader(text, delimiter=layout.delimiter, strict=True)
    header = next(rows, [])
    places = {name.strip(): place for place, name in reversed(list(enumerate(header)))}
    if layout.field.column not in places:
        raise ValueError(f"there is no column {layout.field.column!r}")
    index = places[layout.field.column]
    number_of = layout.field.maker(_NAME, places, layout.decimal)
    writer.writerow(header)
    found = 0
    for row in rows:
        if index < len(row) and _is(number_of(row), patient):
            found += 1
        elif row:
            writer.writerow(row)
    target.flush()
    text.detach()
    target.detach()
    return found


def _is(field: str, patient: int) -> bool:
    return field.isdecimal() and int(field) == patient
