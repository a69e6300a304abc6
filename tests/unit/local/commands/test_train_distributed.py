"""`make train-distributed`, without servers."""

from pathlib import Path

import pytest

from infra.local.commands import train_distributed
from infra.local.errors import LocalError
from infra.local.settings import load


@pytest.mark.parametrize(
    ("workers", "rows", "error"),
    [(0, None, "WORKERS: 0 must be a number from 1 to 64"), (65, None, "WORKERS: 65"), (2, 0, "ROWS: 0 must be")],
)
def test_a_number_out_of_range_is_refused_by_its_name(
    tmp_path: Path, workers: int, rows: int | None, error: str
) -> None:
    with pytest.raises(LocalError, match=error):
        train_distributed.train(load({"LOCAL_DIR": str(tmp_path)}), workers, rows)


def test_lines_that_are_no_log_entry_are_left_out() -> None:
    assert train_distributed._entry('{"progress": "2 workers joined"}') == {"progress": "2 workers joined"}
    assert train_distributed._entry("[LightGBM] [Info] Listening...") == train_distributed._entry("[1]") == {}


def test_the_failure_of_a_host_is_the_line_that_it_wrote(tmp_path: Path) -> None:
    cluster = train_distributed.Cluster(("127.0.0.1", "127.0.0.2"), tmp_path, {})
    (tmp_path / "127.0.0.1").mkdir()
    (tmp_path / "127.0.0.1" / "failure").write_text("NoTrainingData: too few rows\n")
    assert cluster._failure("127.0.0.1") == "NoTrainingData: too few rows"
    assert cluster._failure("127.0.0.2") == "it was killed"
