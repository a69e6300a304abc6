from dataclasses import replace
from platform import machine, python_version

import pytest
from readmission.domain.contract import LABEL_DUE_DAYS
from readmission.errors import RebuildImpossible
from readmission.evaluation.origin import Origin
from readmission.training import rebuild
from readmission.training.code_version import code_version
from readmission.training.rebuild import Rebuilt

BATCH = {"number": 1, "batch_id": "b1", "first_row": 1, "rows": 1010, "valid_rows": 1000}
ORIGIN = Origin(
    data_kind="real",
    read_at="2026-11-27 06:00:00+00",
    newest=300_000,
    label_due_days=30,
    rows=1000,
    rows_hash="ab" * 32,
    content_sha256="cd" * 32,
    deliveries=[{"delivery": "first", "batches": [BATCH]}],
)
SAME = Rebuilt("3", ORIGIN, "e1", "e1")
DOCUMENT = {
    "code_version": code_version(),
    "python": python_version(),
    "machine": machine(),
    "label_due_days": LABEL_DUE_DAYS,
    "packages": {},
}


def test_an_exact_rebuild_says_from_what() -> None:
    assert SAME.is_exact
    assert str(SAME) == (
        "Version 3, trained again from its 1,000 rows of 1 delivery as they were on 2026-11-27 06:00, has the same"
        " scorer: e1."
    )


def test_another_scorer_is_explained_by_what_differs() -> None:
    other = replace(SAME, scorer="e2", differences=("code version a, not b", "numpy 3, not 2"))
    assert not other.is_exact
    assert "has another scorer: e2 instead of e1. What differs: code version a, not b; numpy 3, not 2." in str(other)


def test_a_difference_that_nothing_explains_is_not_hidden() -> None:
    assert "What differs: nothing that was recorded; another processor may round" in str(replace(SAME, scorer="e2"))


def test_other_rows_are_not_trained_on() -> None:
    other = replace(SAME, scorer=None, differences=("the rows: 7, not 8",))
    assert not other.is_exact and "was not trained again" in str(other) and "the rows: 7, not 8" in str(other)


def test_nothing_differs_on_the_machine_that_trained() -> None:
    assert rebuild._differences(DOCUMENT) == ()


def test_each_difference_of_the_surroundings_is_named() -> None:
    then = DOCUMENT | {"code_version": "old", "packages": {"numpy": "0.1", "no-such-package": "1.0"}, "machine": "z80"}
    said = "; ".join(rebuild._differences(then))
    for what in (
        f"code version {code_version()}, not old",
        ", not z80",
        ", not 0.1",
        "no-such-package is not installed",
    ):
        assert what in said


def test_rows_differ_by_hash_number_or_content() -> None:
    assert rebuild._other_rows(ORIGIN, ORIGIN) == ""
    assert "abababababab" in rebuild._other_rows(ORIGIN, replace(ORIGIN, rows_hash="f" * 64))
    assert "other features" in rebuild._other_rows(ORIGIN, replace(ORIGIN, content_sha256="f" * 64))
    of_export = replace(ORIGIN, content_sha256="")
    assert rebuild._other_rows(of_export, ORIGIN) == ""


def test_the_record_of_rows_is_read_as_it_was_written() -> None:
    assert Origin.from_json(ORIGIN.as_json() | DOCUMENT) == ORIGIN
    assert ORIGIN.batches == {"b1": 1000}
    with pytest.raises(RebuildImpossible, match="readmission-training-rows"):
        Origin.from_json(ORIGIN.as_json() | {"format_version": 2})
