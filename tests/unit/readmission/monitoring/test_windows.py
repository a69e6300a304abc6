"""A window of rows: quality within its estimate, drift where there is some, and alerts for nothing else."""

import json
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from readmission.evaluation.quality import METRICS
from readmission.evaluation.reference import Reference
from readmission.monitoring.rows import Rows
from readmission.monitoring.versions import Judge
from readmission.monitoring.windows import Window
from readmission.settings import MonitorLimits

from tests.unit.readmission.monitoring.builders import Version, document, stays

LIMITS = MonitorLimits()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(json.loads(json.dumps(document(), allow_nan=False)))


def judged(rows: Rows, reference: Reference | None) -> Window:
    return Window.judged(rows, cast(Judge, Version(reference)))


def codes(window: Window, learned: tuple[Rows, ...] = ()) -> list[tuple[str, str]]:
    compared = [window.judge.reference.inputs(rows.columns) for rows in learned if window.judge.reference]
    return [(one.code, one.subject) for one in window.alerts(window.closest(compared), LIMITS)]


@pytest.mark.parametrize("count", [100, 300, 1000, 5000])
def test_the_same_kind_of_patients_alert_in_no_size_of_window(reference: Reference, count: int) -> None:
    for seed in range(1, 6):
        assert codes(judged(stays(count, seed), reference)) == []


@pytest.mark.parametrize("count", [100, 1000])
def test_doubled_medications_and_another_payer_alert_in_a_window_of_any_size(reference: Reference, count: int) -> None:
    found = codes(judged(stays(count, 7, medications=2, payer="XX"), reference))
    assert found == [
        ("input_drift", "payer_code"),
        ("input_drift", "num_medications"),
        ("new_categories", "payer_code"),
    ]


def test_what_looks_like_a_delivery_that_the_version_learned_from_does_not_alert(reference: Reference) -> None:
    window = judged(stays(1000, 7, medications=2, payer="C"), reference)
    assert ("input_drift", "payer_code") in codes(window)
    assert codes(window, (stays(1000, 8), stays(1000, 9, medications=2, payer="C"))) == []


def test_a_value_that_is_no_longer_recorded_alerts(reference: Reference) -> None:
    rows = stays(1000, 2)
    rows.columns["time_in_hospital"][:] = np.nan
    found = codes(judged(rows, reference))
    assert ("missing", "time_in_hospital") in found and ("input_drift", "time_in_hospital") in found


def test_realised_figures_are_within_their_estimates_and_labels_of_chance_alert(reference: Reference) -> None:
    rows = stays(4000, 3)
    window = judged(rows, reference)
    assert window.realised is not None and window.estimated is not None
    for name in METRICS:
        assert window.estimated[name].low < window.realised[name].value < window.estimated[name].high
    random = np.random.default_rng(1)
    by_chance = judged(replace(rows, early=random.permutation(rows.early)), reference)
    assert ("realised_quality", "auc_early") in codes(by_chance)


def test_far_more_readmissions_than_forecast_are_a_calibration_error_and_a_loss(reference: Reference) -> None:
    rows = stays(4000, 3)
    found = codes(judged(replace(rows, early=rows.early | (np.arange(4000) % 5 == 0)), reference))
    assert {("realised_quality", "log_loss"), ("realised_quality", "calibration_error_early")} <= set(found)


def test_the_estimate_falls_when_the_patients_are_harder_to_tell_apart(reference: Reference) -> None:
    rows = stays(4000, 3)
    alike = replace(rows, due=np.zeros(4000, dtype=bool))
    alike.columns["number_inpatient"][:] = np.where(np.arange(4000) % 10 == 0, 1.0, 0.0)
    window = judged(alike, reference)
    assert window.realised is None
    assert ("estimated_quality", "auc_early") in codes(window)


def test_labels_that_are_not_due_are_no_truth(reference: Reference) -> None:
    rows = stays(1000, 3)
    window = judged(replace(rows, due=np.arange(1000) < 60), reference).as_json({})
    assert window["labels"] == 60 and window["realised"] is None and window["estimated"] is not None


def test_too_few_rows_say_nothing(reference: Reference) -> None:
    window = judged(stays(40, 7, medications=2, payer="XX"), reference)
    assert codes(window) == [] and window.realised is None and window.estimated is None


def test_a_version_without_a_reference_has_no_drift_and_says_why() -> None:
    version = Version(None, without_reference="version 3 has no reference.json")
    window = Window.judged(stays(500, 1), cast(Judge, version))
    told = window.as_json(window.closest([]))
    assert (told["drift"], told["why_no_drift"]) == (None, "version 3 has no reference.json")
    assert list(window.alerts({}, LIMITS)) == []


def test_groups_have_their_own_figures_and_the_json_no_numbers_that_json_lacks(reference: Reference) -> None:
    window = judged(stays(1000, 4), reference)
    told: dict[str, Any] = json.loads(json.dumps(window.as_json({}), allow_nan=False))
    assert [(one["by"], one["value"]) for one in told["groups"]] == [
        ("race", "AfricanAmerican"),
        ("race", "Caucasian"),
        ("gender", "Female"),
        ("gender", "Male"),
        ("age", "60 to 79"),
    ]
    assert sum(one["rows"] for one in told["groups"] if one["by"] == "gender") == 1000
    assert all(one["estimated"]["auc_early"]["value"] > 0.5 for one in told["groups"])


def test_logged_forecasts_are_not_made_again(reference: Reference) -> None:
    rows = replace(stays(200, 1), logged=np.full(200, 0.25))
    assert judged(rows, reference).probability.tolist() == [0.25] * 200
