"""`make demo`: the data are looked for before anything is started."""

from pathlib import Path
from typing import Any

import pytest

from infra.local import settings, uci
from infra.local.commands import dataset, demo
from infra.local.errors import LocalError
from infra.local.lifecycle import up


class Started(Exception):
    pass


@pytest.fixture(autouse=True)
def starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any) -> None:
        raise Started

    monkeypatch.setattr(up, "start", start)


def test_the_archive_is_asked_for_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(uci, "problem", lambda: "cannot be reached: no route")
    with pytest.raises(Started):
        demo.demo(settings.load({"LOCAL_DIR": str(tmp_path)}), None)
    said = capsys.readouterr().out
    assert "cannot be reached: no route" in said and "SYNTHETIC" in said


def test_a_file_that_does_not_exist_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"DATASET: .*none\.zip does not exist"):
        demo.demo(settings.load({"LOCAL_DIR": str(tmp_path)}), str(tmp_path / "none.zip"))


@pytest.mark.parametrize("name", ["https://example.org/a.zip", "s3://bucket/key", "synthetic", "synthetic:rows=5"])
def test_other_sources_are_for_the_pipeline_to_read(name: str) -> None:
    dataset.check(name)
