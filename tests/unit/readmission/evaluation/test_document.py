import json

import numpy as np
import pytest
from readmission.evaluation.document import evaluation_document, flat_metrics, subgroups
from readmission.evaluation.metrics import compute_metrics

from tests.unit.readmission.evaluation.samples import CLASSES, sample


def test_subgroups_are_evaluated_separately_and_small_ones_are_marked() -> None:
    rows, shares = sample()
    found = {
        one["group"]: one
        for one in subgroups(rows.target.to_list(), shares, CLASSES, rows.groups, rows.patients, resamples=20)
    }
    assert set(found) == {"Caucasian", "Asian", "Female", "Male", "under 60", "60 and over"}
    assert found["Asian"]["too_few"] and "metrics" not in found["Asian"]
    inside = rows.groups["gender"].to_numpy() == "Male"
    alone = compute_metrics(rows.target[inside].to_list(), shares[inside], CLASSES)
    male = found["Male"]
    assert male["metrics"] == alone
    assert male["rows"] == inside.sum() and male["base_rate"] == (rows.target[inside] == "<30").mean()
    assert male["calibration_in_the_large"] == pytest.approx(shares[inside, 0].mean() - male["base_rate"])


def test_the_common_threshold_flags_a_tenth_of_all_rows() -> None:
    rows, shares = sample()
    found = subgroups(rows.target.to_list(), shares, CLASSES, rows.groups[["gender"]], rows.patients, resamples=5)
    flagged = sum(one["flagged_share"] * one["rows"] for one in found)
    assert flagged == pytest.approx(len(rows.target) / 10, abs=1)


def test_the_document_is_small_and_valid_json() -> None:
    rows, shares = sample()
    document = evaluation_document(
        {"train": rows, "validation": rows, "test": rows},
        {"validation": shares, "test": shares},
        CLASSES,
        excluded={"death or hospice": 3},
        resamples=20,
    )
    assert len(json.dumps(document, allow_nan=False)) < 200_000
    assert document["splits"]["train"]["rows"] == 1200
    assert sum(document["splits"]["test"]["classes"].values()) == 1200
    assert document["excluded"] == {"death or hospice": 3}


def test_flat_metrics_are_all_metrics_of_both_splits_with_intervals() -> None:
    rows, shares = sample()
    parts = {"train": rows, "validation": rows, "test": rows}
    document = evaluation_document(parts, {"validation": shares, "test": shares}, CLASSES, resamples=20)  # type: ignore[arg-type]
    flat = flat_metrics(document)
    metrics = compute_metrics(rows.target.to_list(), shares, CLASSES)
    names = {f"{split}_{name}" for split in ("validation", "test") for name in metrics}
    assert flat.keys() == names | {f"{name}_{end}" for name in names for end in ("low", "high")}
    assert flat["test_auc_early_low"] < flat["test_auc_early"] < flat["test_auc_early_high"]


def test_flat_metrics_hold_the_metric_that_ranks_the_candidates() -> None:
    rows, shares = sample()
    parts = {"train": rows, "validation": rows, "test": rows}
    document = evaluation_document(parts, {"validation": shares, "test": shares}, CLASSES, resamples=5)  # type: ignore[arg-type]
    assert "validation_log_loss" in flat_metrics(document)


def test_an_undefined_figure_is_null_in_the_document_and_missing_from_the_flat_metrics() -> None:
    rows, shares = sample()
    shares = np.full_like(shares, 1 / 3)
    parts = {"train": rows, "validation": rows, "test": rows}
    document = evaluation_document(parts, {"validation": shares, "test": shares}, CLASSES, resamples=5)  # type: ignore[arg-type]
    assert document["test"]["metrics"]["early_calibration_slope"] is None
    assert "test_early_calibration_slope" not in flat_metrics(document)
