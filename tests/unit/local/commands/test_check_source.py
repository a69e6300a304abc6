"""`make check-source`, on files of a hospital."""

from pathlib import Path
from typing import Any

import pytest
from readmission.pipeline import synthetic

from infra.local import aws, settings
from infra.local.commands import check_source
from infra.local.errors import LocalError
from infra.local.lifecycle import parameters
from tests import hospital_file
from tests.typed_files import json_lines, parquet, typed
from tests.unit.readmission.builders import BUCKET, FakeS3, table
from tests.unit.readmission.pipeline.web import Web, response, web

__all__ = ["web"]

ROWS = list(synthetic.rows(100, seed=2))
STAYS = hospital_file.spreadsheet(hospital_file.cells(ROWS))


def _settings() -> settings.Settings:
    """Below the current folder, with a folder for what `parameters.keep` keeps."""
    loaded = settings.load({"LOCAL_DIR": str(Path("local").absolute())})
    loaded.secrets.mkdir(parents=True, exist_ok=True)
    return loaded


def _check(dataset: str, mapping: str | None) -> int:
    return check_source.check(_settings(), dataset, mapping)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hospital's spreadsheet; the current folder is its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "stays.csv"
    path.write_bytes(STAYS)
    return path


def mapping(**changes: str) -> str:
    text = hospital_file.mapping().decode()
    for before, after in changes.items():
        text = text.replace(before, after)
    Path("own.yaml").write_text(text)
    return "own.yaml"


def test_a_file_that_fits_is_said_to_fit_with_the_command_that_loads_it(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check("stays.csv", mapping()) == 0
    assert capsys.readouterr().out == "100 rows\nTo load it: make pipeline DATASET=stays.csv MAPPING=own.yaml\n"


def test_what_does_not_fit_is_counted_and_fails_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check("stays.csv", mapping(J=" X")) == 1
    out = capsys.readouterr().out
    assert "go to quarantine: diabetesMed: not one of No, Yes" in out
    assert "To load it" not in out


def test_a_file_without_a_mapping_gets_a_first_one_that_is_never_overwritten(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check("stays.csv", None) == 1
    assert "stays.mapping.yaml is a first mapping. Complete it" in capsys.readouterr().out
    Path("stays.mapping.yaml").write_text("mine")
    assert _check("stays.csv", None) == 1
    assert "There is a mapping already, stays.mapping.yaml" in capsys.readouterr().out
    assert Path("stays.mapping.yaml").read_text() == "mine"


def test_a_file_with_the_contracts_columns_needs_none(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "uci.csv"
    path.write_bytes(table(ROWS))
    assert _check(str(path), None) == 0
    assert f"make pipeline DATASET={path}\n" in capsys.readouterr().out


def test_columns_that_the_mapping_lacks_are_named(file: Path) -> None:
    with pytest.raises(LocalError, match="neither used nor named under 'ignore': 'Station'"):
        _check("stays.csv", mapping(Station=""))


def test_a_mapping_that_is_wrong_is_refused_with_its_line(file: Path) -> None:
    with pytest.raises(LocalError, match=r"MAPPING: own\.yaml, line 3: 'encoding' must be one of"):
        _check("stays.csv", mapping(cp1252="latin"))


@pytest.mark.parametrize(
    ("dataset", "given", "says"), [("no.csv", None, "DATASET: no.csv"), ("stays.csv", "no.yaml", "MAPPING: no")]
)
def test_a_file_that_does_not_exist_is_named(file: Path, dataset: str, given: str | None, says: str) -> None:
    with pytest.raises(LocalError, match=f"{says}.* does not exist"):
        _check(dataset, given)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    fake = FakeS3(**{"incoming/stays.csv": STAYS, "own.yaml": hospital_file.mapping()})
    monkeypatch.setattr(aws, "client", lambda *_: fake)
    return fake


def test_an_object_in_s3_is_checked_by_a_mapping_there(
    file: Path, s3: FakeS3, capsys: pytest.CaptureFixture[str]
) -> None:
    source, own = f"s3://{BUCKET}/incoming/stays.csv", f"s3://{BUCKET}/own.yaml"
    assert _check(source, own) == 0
    assert capsys.readouterr().out == f"100 rows\nTo load it: make pipeline DATASET={source} MAPPING={own}\n"
    assert _check(source, None) == 1
    assert f"make check-source DATASET={source} MAPPING=stays.mapping.yaml" in capsys.readouterr().out
    assert "encounter_id" in Path("stays.mapping.yaml").read_text()


@pytest.mark.parametrize(
    ("source", "own", "says"),
    [
        ("s3://{}/no.csv", None, "no.csv cannot be read: NoSuchKey"),
        ("stays.csv", "s3://{}/no.yaml", "MAPPING: s3.*no.yaml"),
    ],
)
def test_an_object_that_does_not_exist_is_named(
    file: Path, s3: FakeS3, source: str, own: str | None, says: str
) -> None:
    with pytest.raises(LocalError, match=says):
        _check(source.format(BUCKET), own and own.format(BUCKET))


def test_a_url_is_checked_as_the_stack_would_read_it(file: Path, web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://example.org/uci.csv?token=secret"
    with pytest.raises(LocalError, match="https"):
        _check(address, None)
    parameters.keep(_settings(), {"AllowHttpSources": "on"})
    content = table([["0", *ROWS[0][1:]], *ROWS])
    web.answers.append([response(content, f"Content-Length: {len(content)}")])
    assert _check(address, None) == 1
    out = capsys.readouterr().out
    assert "1 refuse their batch: encounter_id" in out and "secret" not in out


@pytest.mark.parametrize(("share", "code"), [("0.5", 0), ("0.001", 1)])
def test_the_share_of_invalid_rows_is_that_of_the_stack(
    file: Path, share: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("uci.csv").write_bytes(table([[*ROWS[0][:4], "unknown", *ROWS[0][5:]], *ROWS[1:]]))
    parameters.keep(_settings(), {"MaxInvalidShare": share})
    assert _check("uci.csv", None) == code
    assert f"the {float(share):.2%} allowed" in capsys.readouterr().out


def test_synthetic_rows_need_no_check(file: Path) -> None:
    with pytest.raises(LocalError, match="nothing to check"):
        _check("synthetic:rows=10", None)


@pytest.mark.parametrize(("name", "write"), [("stays.jsonl", json_lines), ("stays.parquet", parquet)])
def test_json_lines_and_parquet_are_checked_and_get_a_first_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, write: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [typed(row) for row in ROWS]
    Path(name).write_bytes(write(rows))
    assert _check(name, None) == 0
    assert capsys.readouterr().out == f"100 rows\nTo load it: make pipeline DATASET={name}\n"
    Path(name).write_bytes(write([{"Sex" if key == "gender" else key: row[key] for key in row} for row in rows]))
    assert _check(name, None) == 1
    assert "# gender: a column or unknown" in Path("stays.mapping.yaml").read_text()
    Path("own.yaml").write_text("columns: {gender: Sex}")
    assert _check(name, "own.yaml") == 0
