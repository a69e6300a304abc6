"""Data leaks that are known to have made forecasts on these data look better than they are.

The tests fail if rows are copied before the split, if a patient's encounters are counted over the whole file, if
`encounter_id` is a feature, if patients who died are kept, or if anything is fitted on more than the training rows.
"""

import json
from collections.abc import Iterator, Sequence

import mlflow
import pandas as pd
import pytest
from readmission.domain.contract import ENDS_OF_CARE, NAMES
from readmission.domain.features import INPUTS, PATIENT_HISTORY, STORED, fields_of, inputs_of
from readmission.domain.payloads import FAMILIES, Family, TrainResult
from readmission.evaluation import dataset
from readmission.pipeline import synthetic

from tests.integration.readmission.conftest import Stores, changed
from tests.integration.readmission.models import Models, Trainings

pytestmark = [
    # MLflow causes these itself, at every log_model.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
HISTORY_INPUTS = [name for name in INPUTS if name not in STORED]


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(stores, request.node.name[:60], trainings)
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def stays(rows: list[list[str]]) -> list[list[str]]:
    """Four stays of one patient, the second followed by a readmission within 30 days."""
    outcomes = ("NO", "<30", ">30", "NO")
    return [
        changed(row, encounter_id=str(number), patient_nbr="7", readmitted=outcome, discharge_disposition_id="1")
        for number, (row, outcome) in enumerate(zip(rows, outcomes, strict=False), start=101)
    ]


def seen(stores: Stores, rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    """The model inputs of the rows, with no other rows in the database."""
    stores.empty()
    stores.load(rows)
    return dataset.read(stores.clean, "real")[list(INPUTS)]


def test_a_later_stay_does_not_change_an_earlier_one(stores: Stores, stays: list[list[str]]) -> None:
    whole = seen(stores, stays)
    for known in (1, 2, 3):
        pd.testing.assert_frame_equal(seen(stores, stays[:known]), whole[:known])


def test_only_earlier_stays_are_counted(stores: Stores, stays: list[list[str]]) -> None:
    found = seen(stores, stays)
    assert found["prior_encounters"].tolist() == [0, 1, 2, 3]
    assert found["prior_early_readmissions"].tolist() == [0, 0, 1, 1]
    days = [int(row[NAMES.index("time_in_hospital")]) for row in stays]
    assert found["prior_days_in_hospital"].tolist() == [sum(days[:index]) for index in range(4)]
    assert found["last_early_readmission"].fillna(-1).tolist() == [-1, 0, 1, 0]


def test_a_stays_features_do_not_depend_on_its_own_outcome(stores: Stores, stays: list[list[str]]) -> None:
    before = seen(stores, stays[:1])
    for outcome in ("<30", ">30"):
        pd.testing.assert_frame_equal(seen(stores, [changed(stays[0], readmitted=outcome)]), before)


def test_features_do_not_tell_a_late_readmission_after_an_earlier_stay_from_none(
    stores: Stores, stays: list[list[str]]
) -> None:
    before = seen(stores, stays)
    for index, outcome in ((0, ">30"), (2, "NO")):
        changed_stays = [*stays[:index], changed(stays[index], readmitted=outcome), *stays[index + 1 :]]
        pd.testing.assert_frame_equal(seen(stores, changed_stays), before)


def test_the_ids_of_encounters_and_patients_only_determine_order_and_grouping(
    stores: Stores, stays: list[list[str]], rows: list[list[str]]
) -> None:
    every = [*stays, *(changed(row, discharge_disposition_id="1") for row in rows[4:])]
    every.sort(key=lambda row: int(row[0]))
    before = seen(stores, every)
    renumbered = [
        changed(row, encounter_id=str(900_000 + 13 * index), patient_nbr=str(5_000_000 + int(row[1])))
        for index, row in enumerate(every)
    ]
    pd.testing.assert_frame_equal(seen(stores, renumbered), before)


def test_stays_that_end_in_death_or_hospice_are_excluded_and_counted(stores: Stores, rows: list[list[str]]) -> None:
    ended = [code for codes in ENDS_OF_CARE.values() for code in codes]
    for number, code in enumerate(ended):
        rows[number] = changed(rows[number], discharge_disposition_id=str(code))
    rest = [changed(row, discharge_disposition_id="1") for row in rows[len(ended) :]]
    stores.load([*rows[: len(ended)], *rest])
    assert len(dataset.read(stores.clean, "real")) == len(rest)
    assert dataset.excluded(stores.clean, "real") == {"died": 4, "went to a hospice": 2}


def test_only_the_newest_rows_are_used_and_older_ones_are_counted(stores: Stores, rows: list[list[str]]) -> None:
    rows = [changed(row, discharge_disposition_id="1") for row in rows]
    rows[-1] = changed(rows[-1], discharge_disposition_id="11")
    stores.load(rows)
    every = dataset.read(stores.clean, "real")
    count = len(every) - 3
    newest = dataset.read(stores.clean, "real", count)
    # The older rows still count in their history.
    pd.testing.assert_frame_equal(newest, every.iloc[3:].reset_index(drop=True))
    assert dataset.excluded(stores.clean, "real", count)[f"older than the newest {count:,}"] == 3
    for enough in (len(every), len(every) + 1):
        assert len(dataset.read(stores.clean, "real", enough)) == len(every)
        assert dataset.excluded(stores.clean, "real", enough) == {"died": 1, "went to a hospice": 0}


def test_the_patient_history_in_training_equals_that_of_a_request(stores: Stores, stays: list[list[str]]) -> None:
    """A request gives the history in fields; in training, the database computes it from the rows."""
    found = seen(stores, stays).iloc[2]
    last = dict(zip(NAMES, stays[1], strict=True))
    fields = fields_of(dict(zip(NAMES, stays[2], strict=True))) | {
        "prior_encounters": 2,
        "prior_early_readmissions": 1,
        "prior_days_in_hospital": sum(int(row[NAMES.index("time_in_hospital")]) for row in stays[:2]),
        **{name: int(last[name.removeprefix("last_")]) for name in PATIENT_HISTORY if name.removeprefix("last_") in last
           and name not in ("last_diag_1",)},
        "last_early_readmission": 1,
        "last_diag_1": last["diag_1"],
    }  # fmt: skip
    assert set(PATIENT_HISTORY) <= set(fields)
    expected = pd.Series(inputs_of(fields), name=2)
    assert found[HISTORY_INPUTS].to_dict() == expected[HISTORY_INPUTS].to_dict()
    pd.testing.assert_series_equal(found.infer_objects(), expected, check_dtype=False)


def test_every_clean_row_is_in_exactly_one_split_once(stores: Stores) -> None:
    rows = [changed(row, discharge_disposition_id="1") for row in synthetic.rows(600, seed=2)]
    stores.load(rows)
    parts = dataset.load(stores.clean, "real")
    assert sum(len(part.target) for part in parts.values()) == len(rows)
    assert dataset.patients_in_two_splits(parts) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_does_not_depend_on_the_test_rows(models: Models, family: Family) -> None:
    """If oversampling, encoders, imputers or early stopping used them, the document would change."""
    models.load()
    first = scorer_of(models, models.candidate(family, run="before"))
    turn(models, "test")
    assert scorer_of(models, models.train(family, run="after")) == first


@pytest.mark.parametrize("family", FAMILIES)
def test_validation_rows_only_affect_early_stopping(models: Models, family: Family) -> None:
    models.load()
    first = json.loads(scorer_of(models, models.candidate(family, run="before")))
    turn(models, "validation")
    second = json.loads(scorer_of(models, models.train(family, run="after")))
    if family == "gradient_boosting":  # the first trees are the same; later ones may have stopped early
        for document in (first, second):
            document["model"]["trees"] = [trees[:5] for trees in document["model"]["trees"]]
            del document["context"]["risk_quantiles"]
    assert second == first


def turn(models: Models, split: str) -> None:
    """Give every row of a split another outcome, and categories and numbers found nowhere else."""
    models.stores.clean.run(
        "UPDATE diabetes_clean SET"
        " readmitted = CASE readmitted WHEN 'NO' THEN '<30' WHEN '<30' THEN '>30' ELSE 'NO' END,"
        " medical_specialty = 'Astrology', diag_1_category = '999', time_in_hospital = time_in_hospital + 50,"
        " number_inpatient = number_inpatient + 10, has_cancer = 1 WHERE split = :split",
        split=split,
    )


def scorer_of(models: Models, trained: TrainResult) -> bytes:
    with open(models.client.download_artifacts(trained["mlflow_run_id"], "scorer.json"), "rb") as file:
        return file.read()
