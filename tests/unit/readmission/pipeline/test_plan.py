import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

import pytest
from readmission.domain.contract import NAMES
from readmission.domain.payloads import MAX_BATCHES, Plan, parse_request
from readmission.errors import BatchMissing, InvalidRequest, RowMalformed, SourceMalformed
from readmission.pipeline import deliveries, mapping_file, synthetic
from readmission.pipeline.deliveries import DeliveredBatch, Delivery
from readmission.pipeline.erased import digest
from readmission.pipeline.plan import Databases, plan, read_batch, read_manifest, read_text, to_csv
from readmission.pipeline.sources import Reading

from tests import hospital_file
from tests.unit.readmission.builders import BUCKET, FakeS3, client_error, fields, numbered, table

SOURCE = f"s3://{BUCKET}/source"
ROWS = numbered(7)


class FakeRaw:
    """The raw database, with the batches that are `loaded`, and patients of the default site that were `erased`."""

    def __init__(self, loaded: Collection[str] = (), erased: Collection[int] = ()) -> None:
        self._loaded, self._erased = loaded, erased
        self.locked: list[bool] = []

    def run(self, statement: str, **values: Any) -> list[list[str]]:
        if "_shared(:lock)" in statement:
            self.locked.append("unlock" not in statement)
            return []
        if "FROM erasure_salt" in statement:
            return [["salt"]]
        if "FROM erasure " in statement:
            return [[digest("salt", "default", one)] for one in self._erased if values["site"] == "default"]
        assert "FROM batch" in statement
        return [[one] for one in values["ids"] if one in self._loaded]


class FakeClean:
    """The clean database: runs the statements of a transaction, and nothing else."""

    def run(self, statement: str) -> None:
        assert statement in ("BEGIN", "COMMIT", "ROLLBACK")


class Registry:
    """The registry of deliveries in memory, in place of the functions of `deliveries` that a plan calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, tuple[Delivery, list[DeliveredBatch]]] = {}
        for name in ("register", "to_clean", "batches_of", "kind_to_clean"):
            monkeypatch.setattr(deliveries, name, getattr(self, name))

    def register(self, clean: FakeClean, delivery: Delivery, batches: list[DeliveredBatch], mapping: Any) -> None:
        self.known[delivery.delivery_id] = (delivery, batches)

    def to_clean(self, clean: FakeClean, kind: str) -> list[Delivery]:
        return [delivery for delivery, _ in self.known.values() if delivery.data_kind == kind]

    def batches_of(self, clean: FakeClean, ids: list[str]) -> dict[str, list[DeliveredBatch]]:
        return {one: self.known[one][1] for one in ids}

    def kind_to_clean(self, clean: FakeClean) -> str:
        return "real" if self.to_clean(clean, "real") else "synthetic"

    def add(self, name: str, *batches: tuple[str, int], kind: Any = "real") -> None:
        listed = [DeliveredBatch(number, one, 1, rows) for number, (one, rows) in enumerate(batches, start=1)]
        self.known[name] = (Delivery(name, kind, "default", "a source", "2026-01-01T00:00:00Z"), listed)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(monkeypatch)


def _plan(
    s3: FakeS3, raw: FakeRaw | None = None, default: str = SOURCE, execution: str = "run", **request: Any
) -> Plan:
    parsed = parse_request(request)
    event: Any = {"execution": execution, "started_at": "2026-01-01T00:00:00Z", "input": request}
    databases = Databases(raw or FakeRaw(), FakeClean())  # type: ignore[arg-type]
    return plan(event, parsed, parsed.source or default, BUCKET, s3, databases)  # type: ignore[arg-type]


def test_the_mapping_of_a_source_is_kept_with_the_run() -> None:
    lines = hospital_file.cells(synthetic.rows(5, seed=1))
    s3 = FakeS3(source=hospital_file.spreadsheet(lines))
    mapping = mapping_file.parse(hospital_file.mapping(), "m.yaml")
    event: Any = {"execution": "run", "started_at": "2026-01-01T00:00:00Z", "input": {}}
    databases: Any = Databases(FakeRaw(), FakeClean())  # type: ignore[arg-type]
    planned = plan(event, parse_request({}), SOURCE, BUCKET, s3, databases, reading=Reading(mapping=mapping))  # type: ignore[arg-type]
    manifest = read_manifest(BUCKET, planned["manifest"], s3)  # type: ignore[arg-type]
    assert manifest["mapping"] == {"hash": mapping.digest, "text": mapping.text}
    text = read_text(BUCKET, manifest["batches"][0]["keys"][0], s3)  # type: ignore[arg-type]
    assert text == to_csv(synthetic.rows(5, seed=1))


def _s3(rows: list[list[str]] = ROWS, header: Sequence[str] = NAMES) -> FakeS3:
    return FakeS3(source=table(rows, header))


def _manifest(s3: FakeS3, planned: Plan) -> Any:
    return json.loads(s3.objects[planned["manifest"]])


def _rows(s3: FakeS3, batch: Any) -> list[list[str]]:
    return _parse(read_text(BUCKET, batch["keys"][0], s3))  # type: ignore[arg-type]


def _parse(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_the_source_is_split_into_batches_numbered_from_1() -> None:
    planned = _plan(_s3(), batch_size=3)
    assert planned["batches"] == [1, 2, 3]
    assert planned["rows"] == 7


def test_the_manifest_lists_each_batch_with_its_first_row_and_row_count() -> None:
    s3 = _s3()
    batches = _manifest(s3, _plan(s3, batch_size=3))["batches"]
    assert [(batch["number"], batch["first_row"], batch["rows"]) for batch in batches] == [
        (1, 1, 3),
        (2, 4, 3),
        (3, 7, 1),
    ]


def test_the_batches_contain_the_rows_in_order() -> None:
    s3 = _s3()
    batches = _manifest(s3, _plan(s3, batch_size=3))["batches"]
    assert [row for batch in batches for row in _rows(s3, batch)] == ROWS


def test_a_batch_is_a_gzipped_csv_that_other_tools_can_read() -> None:
    s3 = _s3()
    (batch,) = _manifest(s3, _plan(s3))["batches"]
    assert _parse(gzip.decompress(s3.objects[batch["keys"][0]]).decode()) == ROWS


def test_the_manifest_has_the_source_its_data_kind_and_the_time_of_delivery() -> None:
    s3 = _s3()
    manifest = _manifest(s3, _plan(s3, execution="run-1"))
    assert {name: manifest[name] for name in ("source", "data_kind", "delivered_at")} == {
        "source": SOURCE,
        "data_kind": "real",
        "delivered_at": "2026-01-01T00:00:00Z",
    }


def test_plan_and_manifest_do_not_have_the_credentials_of_a_source() -> None:
    s3 = FakeS3()
    planned = _plan(s3, FakeRaw(), source="https://user:secret@example.org/d?sig=secret", start_at="clean")
    assert planned["source"] == _manifest(s3, planned)["source"] == "https://***@example.org/d?sig=***"


def test_each_run_has_a_manifest_of_its_own() -> None:
    s3 = _s3()
    assert _plan(s3, execution="run-1")["manifest"] == "pipeline/runs/run-1/manifest.json"
    assert _plan(s3, execution="run-2")["manifest"] == "pipeline/runs/run-2/manifest.json"


def test_the_same_source_twice_writes_the_same_objects() -> None:
    first, second = _s3(), _s3()
    _plan(first, batch_size=3)
    _plan(second, batch_size=3)
    assert first.objects == second.objects


def test_a_batchs_bytes_do_not_depend_on_the_time() -> None:
    s3 = _s3()
    (batch,) = _manifest(s3, _plan(s3))["batches"]
    assert s3.objects[batch["keys"][0]][4:8] == bytes(4)


def test_a_batch_keeps_its_key_when_rows_are_appended_to_the_source() -> None:
    first, second = _s3(), _s3([*ROWS, fields(encounter_id="99")])
    before = _manifest(first, _plan(first, batch_size=7))["batches"]
    after = _manifest(second, _plan(second, batch_size=7))["batches"]
    assert before[0] == after[0]


def test_different_batches_have_different_keys() -> None:
    s3 = _s3()
    keys = [batch["keys"][0] for batch in _manifest(s3, _plan(s3, batch_size=1))["batches"]]
    assert len(set(keys)) == 7


def test_the_batches_are_in_s3_before_the_manifest_that_lists_them() -> None:
    s3 = _s3()
    planned = _plan(s3, batch_size=3)
    assert s3.writes[-1] == planned["manifest"]


def test_a_source_that_fails_leaves_no_manifest() -> None:
    s3 = _s3([*ROWS, ["x"]])
    with pytest.raises(RowMalformed):
        _plan(s3, batch_size=3)
    assert [key for key in s3.writes if "manifest" in key] == []


def test_a_source_without_rows_is_refused_by_name(registry: Registry) -> None:
    s3 = _s3([])
    with pytest.raises(SourceMalformed, match=f"{SOURCE} has a header but no rows"):
        _plan(s3)
    assert (s3.writes, registry.known) == ([], {})


def test_the_delivery_is_registered_with_its_batches_before_the_manifest_names_it(registry: Registry) -> None:
    s3 = _s3()
    planned = _plan(s3, execution="run-1", batch_size=3, site="north")
    delivery, batches = registry.known["run-1"]
    assert delivery == Delivery("run-1", "real", "north", SOURCE, "2026-01-01T00:00:00Z", None, "pending")
    listed = _manifest(s3, planned)["batches"]
    assert [(one.number, [one.batch_id], one.first_row, one.rows) for one in batches] == [
        (one["number"], one["batch_ids"], one["first_row"], one["rows"]) for one in listed
    ]
    assert _manifest(s3, planned)["deliveries"] == ["run-1"]
    assert planned["site"] == _manifest(s3, planned)["site"] == "north"


def test_the_same_rows_of_two_sites_are_different_batches() -> None:
    s3 = _s3()
    ids = [_manifest(s3, _plan(s3, **site))["batches"][0]["batch_ids"] for site in ({}, {"site": "north"})]
    assert ids[0] != ids[1]


DATED = (*NAMES, "discharge_date")


def _dated(*days: str) -> FakeS3:
    return _s3([[*row, day] for row, day in zip(ROWS, days, strict=False)], DATED)


def test_a_delivery_that_does_not_say_when_it_was_taken_counts_as_taken_on_its_newest_discharge_so_far(
    registry: Registry,
) -> None:
    s3 = _dated("2025-12-01", "2025-12-24", "2026-01-02", "a day", "2025-11-30")
    assert _manifest(s3, _plan(s3))["dated"] is True
    assert registry.known["run"][0].taken_on == date(2025, 12, 24)


def test_a_delivery_can_say_when_it_was_taken(registry: Registry) -> None:
    _plan(_dated("2025-11-01"), taken_on="2025-12-31")
    assert registry.known["run"][0].taken_on == date(2025, 12, 31)


def test_a_delivery_without_discharge_dates_has_no_day(registry: Registry) -> None:
    s3 = _s3()
    assert _manifest(s3, _plan(s3))["dated"] is False
    assert registry.known["run"][0].taken_on is None


@pytest.mark.parametrize(
    ("s3", "taken_on", "message"),
    [
        (_s3(), "2025-12-31", "has no effect without discharge dates: .* has no column 'discharge_date'"),
        (_dated("2025-11-01"), "2026-01-02", "2026-01-02 is after the start of the run"),
    ],
    ids=["no dates", "in the future"],
)
def test_a_day_that_cannot_be_is_refused(s3: FakeS3, taken_on: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=f"input field 'taken_on'.*{message}"):
        _plan(s3, taken_on=taken_on)


VERSIONED = (*NAMES, "diag_version")


@pytest.mark.parametrize(
    ("own", "stated", "expected"),
    [
        (["icd10", ""], None, ["icd10", ""]),
        (["icd10", ""], "icd9", ["icd10", "icd9"]),
        (None, "icd10", ["icd10", "icd10"]),
    ],
    ids=["column", "column and delivery", "delivery"],
)
def test_rows_have_the_version_of_their_diagnoses_or_else_that_of_the_delivery(
    own: list[str] | None, stated: str | None, expected: list[str]
) -> None:
    s3 = _s3([[*row, one] for row, one in zip(ROWS, own, strict=False)], VERSIONED) if own else _s3(ROWS[:2])
    manifest = _manifest(s3, _plan(s3, **({"diag_version": stated} if stated else {})))
    assert (manifest["versioned"], manifest["dated"]) == (True, False)
    assert _rows(s3, manifest["batches"][0]) == [[*row, one] for row, one in zip(ROWS, expected, strict=False)]


def test_the_version_follows_the_date_of_discharge() -> None:
    s3 = _s3([["icd10", *ROWS[0], "2025-12-01"]], ("diag_version", *DATED))
    manifest = _manifest(s3, _plan(s3))
    assert (manifest["versioned"], manifest["dated"]) == (True, True)
    assert _rows(s3, manifest["batches"][0]) == [[*ROWS[0], "2025-12-01", "icd10"]]


def test_rows_without_a_version_are_the_same_batch_as_in_earlier_releases() -> None:
    s3 = _s3()
    manifests = [_manifest(s3, _plan(s3, **more)) for more in ({}, {"diag_version": "icd9"}, {"diag_version": "icd10"})]
    assert len({one["batches"][0]["batch_ids"][0] for one in manifests}) == 3
    assert manifests[0]["versioned"] is False and _rows(s3, manifests[0]["batches"][0]) == ROWS


def test_synthetic_diagnoses_are_not_of_icd_10() -> None:
    with pytest.raises(InvalidRequest, match="input field 'diag_version' cannot be 'icd10'"):
        _plan(_s3(), source="synthetic:rows=10", diag_version="icd10")


def test_the_plan_repeats_the_request() -> None:
    planned = _plan(_s3(), models=["random_forest"], start_at="ingest", stop_after="clean")
    assert (planned["models"], planned["start_at"], planned["stop_after"]) == (
        ["random_forest"],
        "ingest",
        "clean",
    )


def test_a_synthetic_source_is_labelled_in_plan_and_manifest() -> None:
    s3 = FakeS3()
    planned = _plan(s3, source="synthetic:rows=10")
    assert planned["data_kind"] == _manifest(s3, planned)["data_kind"] == "synthetic"


def test_a_file_with_synthetic_rows_is_labelled_as_such_if_the_input_says_so() -> None:
    s3 = _s3()
    planned = _plan(s3, data_kind="synthetic")
    assert planned["data_kind"] == _manifest(s3, planned)["data_kind"] == "synthetic"
    assert planned["manifest"] and _plan(_s3(), data_kind="real")["data_kind"] == "real"


def test_a_synthetic_source_cannot_be_declared_real() -> None:
    with pytest.raises(InvalidRequest, match="input field 'data_kind' cannot be 'real'"):
        _plan(FakeS3(), source="synthetic:rows=10", data_kind="real")


@pytest.mark.parametrize(
    ("rows", "size", "least"),
    [(1_001, 1, 2), (2_001, 2, 3), (4_001, 2, 5), (4_000, 3, 4), (3_001, 3, 4), (9_999, 5, 10)],
)
def test_too_many_batches_are_rejected_with_the_smallest_possible_batch_size(rows: int, size: int, least: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _plan(FakeS3(), source=f"synthetic:rows={rows}", batch_size=size)
    assert str(refused.value).startswith(f"input field 'batch_size': {size} ")
    assert str(refused.value).endswith(f"it must be at least {least}")
    assert -(-rows // least) <= MAX_BATCHES < -(-rows // (least - 1))


def test_a_source_that_no_batch_size_fits_is_refused_with_the_largest_number_of_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("readmission.pipeline.plan.MAX_BATCHES", 3)
    monkeypatch.setattr("readmission.pipeline.plan.MAX_BATCH_SIZE", 10)
    with pytest.raises(
        InvalidRequest, match=r"^the source has 31 rows, and an execution takes 30 at most: .* in parts"
    ):
        _plan(FakeS3(), source="synthetic:rows=31", batch_size=10)


def test_the_largest_number_of_batches_is_accepted_and_fits_into_a_payload_of_step_functions() -> None:
    planned = _plan(FakeS3(), source="synthetic:rows=1000", batch_size=1)
    assert len(planned["batches"]) == MAX_BATCHES
    assert len(json.dumps(planned)) < 256 * 1024 / 10


def test_a_start_at_clean_lists_the_batches_of_the_deliveries_once_each(registry: Registry) -> None:
    s3 = FakeS3()
    registry.add("first", ("a", 15), ("b", 10))
    registry.add("second", ("b", 10), ("c", 5))
    planned = _plan(s3, FakeRaw("abc"), start_at="clean")
    assert _manifest(s3, planned)["deliveries"] == ["first", "second"]
    assert _manifest(s3, planned)["batches"] == [
        {"number": 1, "batch_ids": ["a"], "keys": [], "first_row": 0, "rows": 15},
        {"number": 2, "batch_ids": ["b"], "keys": [], "first_row": 0, "rows": 10},
        {"number": 3, "batch_ids": ["c"], "keys": [], "first_row": 0, "rows": 5},
    ]
    assert (planned["batches"], planned["rows"]) == ([1, 2, 3], 30)


def test_a_start_at_clean_leaves_out_a_delivery_that_is_not_loaded_in_full(registry: Registry) -> None:
    s3 = FakeS3()
    registry.add("first", ("a", 15))
    registry.add("broken", ("b", 10), ("c", 5))
    planned = _plan(s3, FakeRaw("ab"), start_at="clean")
    assert (_manifest(s3, planned)["deliveries"], planned["rows"]) == (["first"], 15)


@pytest.mark.parametrize("start_at", ["train", "promote"])
def test_a_later_start_has_no_batches(start_at: str, registry: Registry) -> None:
    registry.add("first", ("a", 15))
    planned = _plan(FakeS3(), FakeRaw("a"), start_at=start_at)
    assert (planned["batches"], planned["rows"]) == ([], 0)


@pytest.mark.parametrize("start_at", ["clean", "train", "promote"])
def test_a_later_start_reads_no_source(start_at: str) -> None:
    s3 = FakeS3()
    assert s3.writes == []
    planned = _plan(s3, source="s3://nowhere/nothing", start_at=start_at)
    assert s3.writes == [planned["manifest"]]


@pytest.mark.parametrize(
    ("delivered", "request_", "kind"),
    [
        pytest.param(("real", "synthetic"), {}, "real", id="real-goes-before-synthetic"),
        pytest.param(("synthetic",), {}, "synthetic", id="only-synthetic"),
        pytest.param(("real", "synthetic"), {"source": "synthetic"}, "synthetic", id="synthetic-asked-for"),
        pytest.param(("synthetic",), {"source": SOURCE}, "real", id="real-asked-for"),
    ],
)
@pytest.mark.parametrize("start_at", ["clean", "train", "promote"])
def test_a_later_start_uses_the_requested_or_the_delivered_data_kind(
    registry: Registry, delivered: tuple[str, ...], request_: dict[str, str], kind: str, start_at: str
) -> None:
    for one in delivered:
        registry.add(one, (one, 9), kind=one)
    assert _plan(FakeS3(), start_at=start_at, **request_)["data_kind"] == kind


def test_a_start_at_clean_joins_loaded_batches_if_there_are_too_many(registry: Registry) -> None:
    s3 = FakeS3()
    loaded = [(f"{number:05}", 2) for number in range(2 * MAX_BATCHES + 1)]
    registry.add("first", *loaded)
    planned = _plan(s3, FakeRaw({id_ for id_, _ in loaded}), start_at="clean")
    batches = _manifest(s3, planned)["batches"]
    assert len(batches) <= MAX_BATCHES
    assert [id_ for batch in batches for id_ in batch["batch_ids"]] == [id_ for id_, _ in loaded]
    assert sum(batch["rows"] for batch in batches) == planned["rows"] == 2 * len(loaded)


def test_a_batch_is_found_by_its_number() -> None:
    s3 = _s3()
    planned = _plan(s3, batch_size=3)
    manifest, batch = read_batch(BUCKET, planned["manifest"], 2, s3)  # type: ignore[arg-type]
    assert batch == manifest["batches"][1]


@pytest.mark.parametrize("number", [0, 4])
def test_a_batch_that_the_manifest_does_not_list_is_missing(number: int) -> None:
    s3 = _s3()
    planned = _plan(s3, batch_size=3)
    with pytest.raises(BatchMissing, match=f"batch {number} is not in the manifest"):
        read_batch(BUCKET, planned["manifest"], number, s3)  # type: ignore[arg-type]


def test_a_manifest_that_does_not_exist_is_missing() -> None:
    with pytest.raises(BatchMissing, match=f"s3://{BUCKET}/pipeline/runs/x/manifest.json does not exist"):
        read_batch(BUCKET, "pipeline/runs/x/manifest.json", 1, FakeS3())  # type: ignore[arg-type]


def test_a_manifest_of_an_earlier_release_says_what_to_do() -> None:
    s3 = FakeS3()
    s3.objects["manifest.json"] = json.dumps({"source": "a", "batches": []}).encode()
    with pytest.raises(BatchMissing, match="is of an earlier release; start the execution again"):
        read_batch(BUCKET, "manifest.json", 1, s3)  # type: ignore[arg-type]


def test_a_batch_object_that_does_not_exist_is_missing() -> None:
    with pytest.raises(BatchMissing):
        read_text(BUCKET, "pipeline/batches/x.csv.gz", FakeS3())  # type: ignore[arg-type]


def test_other_s3_failures_are_not_reported_as_a_missing_batch() -> None:
    class Denied:
        def get_object(self, **_: str) -> Any:
            raise client_error("AccessDenied")

    with pytest.raises(Exception, match="AccessDenied"):
        read_text(BUCKET, "x", Denied())  # type: ignore[arg-type]


def test_fields_with_commas_quotes_and_line_breaks_survive_a_batch() -> None:
    row = fields(medical_specialty='a,"b"\nc\r\nd')
    s3 = _s3([row])
    (batch,) = _manifest(s3, _plan(s3))["batches"]
    assert _rows(s3, batch) == [row]


@pytest.mark.parametrize("text", ["", "a", "a b", "a,b", 'a"b', '"', "a\nb", "a\rb", "\r\n", "é\t\\", "'a'", "\u2028"])
def test_a_batch_is_the_same_bytes_as_pythons_csv_writer_makes(text: str) -> None:
    rows = [*ROWS, fields(payer_code=text), fields(medical_specialty=text, diag_3=text)]
    s3 = _s3(rows)
    (batch,) = _manifest(s3, _plan(s3))["batches"]
    assert read_text(BUCKET, batch["keys"][0], s3) == to_csv(rows)  # type: ignore[arg-type]


def test_csv_lines_end_with_a_line_feed() -> None:
    assert to_csv([["a", 1], ["b,c", ""]]) == 'a,1\n"b,c",\n'


class _ForgetfulS3(FakeS3):
    """Discards objects, so that only the memory of the plan is measured."""

    def put_object(self, **_: Any) -> None:
        return


def _peak(rows: int) -> int:
    tracemalloc.start()
    try:
        _plan(_ForgetfulS3(), source=f"synthetic:rows={rows}", batch_size=250)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_plan_does_not_grow_with_the_source() -> None:
    _peak(250)  # what is allocated once and kept
    assert _peak(5_000) <= 1.1 * _peak(1_000)


# ---------------------------------------------------------------- erased patients
PATIENT = NAMES.index("patient_nbr")


def _batches(s3: FakeS3, planned: Plan) -> list[tuple[int, list[list[str]]]]:
    """The number of the first row, and the rows, of each batch."""
    found = []
    for number in planned["batches"]:
        _, batch = read_batch(BUCKET, planned["manifest"], number, s3)  # type: ignore[arg-type]
        text = read_text(BUCKET, batch["keys"][0], s3)  # type: ignore[arg-type]
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert batch["rows"] == len(rows)
        found.append((batch["first_row"], rows))
    return found


def _of(rows: Sequence[Sequence[str]], *patients: int) -> list[list[str]]:
    """The rows, of these patients."""
    return [
        [str(patient) if index == PATIENT else field for index, field in enumerate(row)]
        for row, patient in zip(rows, patients, strict=True)
    ]


def test_the_rows_of_an_erased_patient_are_left_out_and_the_other_batches_stay_as_they_are() -> None:
    rows = _of(ROWS, 1, 2, 3, 4, 5, 2, 7)
    s3 = FakeS3(source=table(rows))
    before, after = _plan(s3, batch_size=3), _plan(s3, FakeRaw(erased=[2]), batch_size=3, execution="again")
    assert _batches(s3, before) == [(1, rows[:3]), (4, rows[3:6]), (7, rows[6:])]
    assert _batches(s3, after) == [(1, [rows[0], rows[2]]), (4, rows[3:5]), (7, rows[6:])]
    assert (after["rows"], after["erased"]) == (5, 2) and "erased" not in before


def test_an_erased_patient_is_recognized_however_the_number_is_spelled() -> None:
    rows = _of(ROWS[:2], 1, 2)
    rows[1][PATIENT] = "002"
    assert _plan(FakeS3(source=table(rows)), FakeRaw(erased=[2]))["erased"] == 1


def test_patients_of_other_sites_have_other_numbers() -> None:
    s3 = FakeS3(source=table(_of(ROWS[:2], 1, 2)))
    assert _plan(s3, FakeRaw(erased=[2]), site="north")["rows"] == 2


def test_a_batch_of_erased_patients_alone_is_not_written() -> None:
    s3 = FakeS3(source=table(_of(ROWS[:4], 1, 2, 2, 3)))
    planned = _plan(s3, FakeRaw(erased=[2]), batch_size=1)
    assert (planned["batches"], planned["rows"]) == ([1, 4], 2)


def test_a_source_of_erased_patients_alone_is_refused() -> None:
    raw = FakeRaw(erased=[2])
    with pytest.raises(SourceMalformed, match="erased"):
        _plan(FakeS3(source=table(_of(ROWS[:1], 2))), raw)
    # The lock is given back.
    assert raw.locked == [True, False]
