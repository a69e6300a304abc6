"""`make check-source`, on files of a hospital."""

from pathlib import Path

import pytest
from readmission.pipeline import synthetic

from infra.local.commands import check_source
from infra.local.errors import LocalError
from tests import hospital_file
from tests.unit.readmission.builders import table

ROWS = list(synthetic.rows(100, seed=2))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hospital's spreadsheet; the current folder is its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "stays.csv"
    path.write_bytes(hospital_file.spreadsheet(hospital_file.cells(ROWS)))
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
    assert check_source.check("stays.csv", mapping()) == 0
    assert capsys.readouterr().out == "100 rows\nTo load it: make pipeline DATASET=stays.csv MAPPING=own.yaml\n"


def test_what_does_not_fit_is_counted_and_fails_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_source.check("stays.csv", mapping(J=" X")) == 1
    out = capsys.readouterr().out
    assert "go to quarantine: diabetesMed: not one of No, Yes" in out
    assert "To load it" not in out


def test_a_file_without_a_mapping_gets_a_first_one_that_is_never_overwritten(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_source.check("stays.csv", None) == 1
    assert "stays.mapping.yaml is a first mapping. Complete it" in capsys.readouterr().out
    Path("stays.mapping.yaml").write_text("mine")
    assert check_source.check("stays.csv", None) == 1
    assert "There is a mapping already, stays.mapping.yaml" in capsys.readouterr().out
    assert Path("stays.mapping.yaml").read_text() == "mine"


def test_a_file_with_the_contracts_columns_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "uci.csv"
    path.write_bytes(table(ROWS))
    assert check_source.check(str(path), None) == 0
    assert f"make pipeline DATASET={path}\n" in capsys.readouterr().out


def test_columns_that_the_mapping_lacks_are_named(file: Path) -> None:
    with pytest.raises(LocalError, match="neither used nor named under 'ignore': 'Station'"):
        check_source.check("stays.csv", mapping(Station=""))


def test_a_mapping_that_is_wrong_is_refused_with_its_line(file: Path) -> None:
    with pytest.raises(LocalError, match=r"MAPPING: own\.yaml, line 3: 'encoding' must be one of"):
        check_source.check("stays.csv", mapping(cp1252="latin"))


@pytest.mark.parametrize(
    ("dataset", "given", "says"), [("no.csv", None, "DATASET: no.csv"), ("stays.csv", "no.yaml", "MAPPING: no")]
)
def test_a_file_that_does_not_exist_is_named(file: Path, dataset: str, given: str | None, says: str) -> None:
    with pytest.raises(LocalError, match=f"{says}.* does not exist"):
        check_source.check(dataset, given)
