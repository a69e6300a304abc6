"""The training reference, and the drift of other rows from it."""

import json

import numpy as np
import pytest
from readmission.domain.features import INPUTS
from readmission.evaluation.reference import Reference

from tests.unit.readmission.monitoring.builders import document, risk, stays

DOCUMENT = document(2000)


def test_the_document_describes_every_input_and_the_forecasts_and_is_valid_json() -> None:
    told = json.loads(json.dumps(DOCUMENT, allow_nan=False))
    assert [entry["name"] for entry in told["inputs"]] == list(INPUTS)
    for entry in told["inputs"]:
        shares = entry["shares"].values() if entry["kind"] == "category" else entry["shares"]
        assert sum(shares) == pytest.approx(1)
    assert sum(told["forecasts"]["shares"]) == pytest.approx(1)
    assert set(told["quality"]) == {"realised", "estimated"}
    assert told["rows"] == 2000


def test_an_input_that_is_never_known_has_one_bin() -> None:
    training = stays(2000, 0)
    training.columns["number_emergency"][:] = np.nan
    reference = Reference(
        {
            **DOCUMENT,
            "inputs": [
                {"name": "number_emergency", "kind": "number", "missing_share": 1.0, "edges": [], "shares": [0.0]}
            ],
        }
    )
    (same,) = reference.inputs(training.columns)
    assert (same.psi, same.missing_share) == (0, 1)
    (known,) = reference.inputs(stays(500, 1).columns)
    assert known.psi > 1


def test_the_training_rows_themselves_have_not_drifted() -> None:
    assert all(drift.psi < 1e-9 for drift in Reference(DOCUMENT).inputs(stays(2000, 0).columns))


def test_categories_that_training_has_not_seen_are_counted_and_rare_ones_are_not_named() -> None:
    rows = stays(1000, 5)
    payers = rows.columns["payer_code"].copy()
    payers[:20], payers[20:25] = "new", "typed by hand"
    found = {one.name: one for one in Reference(DOCUMENT).inputs({**rows.columns, "payer_code": payers})}
    assert found["payer_code"].new == {"new": 20}
    assert found["payer_code"].new_share == pytest.approx(0.025)


def test_unseen_categories_are_expected_where_training_has_many_that_occur_once() -> None:
    rows = stays(2000, 0)
    codes = np.array([f"code {number}" if number < 200 else "usual" for number in range(2000)], dtype=object)
    entry = {"code": {value: (codes == value).mean() for value in dict.fromkeys(codes)}}["code"]
    told = {**DOCUMENT, "inputs": [{"name": "payer_code", "kind": "category", "missing_share": 0, "shares": entry}]}
    (drift,) = Reference(told).inputs({**rows.columns, "payer_code": codes})
    assert drift.new_by_chance == pytest.approx(0.1)


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        Reference({**DOCUMENT, "format_version": 2})


def test_the_forecasts_drift_too() -> None:
    reference = Reference(DOCUMENT)
    same, chance = reference.forecasts(risk(stays(500, 9).columns))
    other, _ = reference.forecasts(np.full(500, 0.5))
    assert same < chance < other
