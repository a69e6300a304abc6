"""What workers know of their rows, added up, against the same rows in one place."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from readmission.domain.features import CATEGORIES, FEATURES, INPUTS
from readmission.domain.splits import SPLITS
from readmission.errors import NoTrainingData
from readmission.training import distributed, rows
from readmission.training.boosting import codes_of, hashed
from readmission.training.distributed import Summary
from readmission.training.rows import Strips
from readmission.training.target_encoding import FOLDS, ClassCounts

from tests.unit.readmission.training.tables import encounters

TABLE = encounters(1000)
PATIENTS = (hashed(TABLE["patient_nbr"].to_numpy()) >> np.uint64(1)).astype(np.int64)
EXPORTED = TABLE.assign(patient=PATIENTS, fold=PATIENTS % FOLDS, site="default")
ALL = {split: 1.0 for split in SPLITS}


class Bucket:
    """S3 with the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_object(self, Bucket: str, Key: str) -> dict[str, io.BytesIO]:
        return {"Body": io.BytesIO((self.folder / Key).read_bytes())}


@pytest.fixture
def strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Strips]]:
    """The shares of three workers in an export of two files."""
    for name, part in (("a", EXPORTED[:600]), ("b", EXPORTED[600:])):
        pyarrow.parquet.write_table(pa.Table.from_pandas(part, preserve_index=False), tmp_path / name)
    monkeypatch.setattr(rows.s3, "s3_client", lambda: Bucket(tmp_path))
    return rows.shares("bucket", [rows.File("a", 600), rows.File("b", 400)], 3)


def summary(shares: list[list[Strips]], sampled: dict[str, float] = ALL) -> Summary:
    return Summary.sum(
        [Summary.sum([Summary.of(one, sampled) for one in share]) for share in shares]  # type: ignore[arg-type]
    )


def test_workers_read_every_row_with_the_types_of_a_training_in_memory(strips: list[list[Strips]]) -> None:
    read = pd.concat([one.read() for share in strips for one in share])
    assert sorted(read["patient_nbr"]) == sorted(PATIENTS)
    for name in (*INPUTS, "readmitted", "split", "race", "gender"):
        assert read[name].dtype == TABLE[name].dtype


def test_the_summaries_of_workers_add_up_to_that_of_all_rows(strips: list[list[Strips]]) -> None:
    found = summary(strips)
    for split in SPLITS:
        assert found.classes[split] == Counter(TABLE["readmitted"][TABLE["split"] == split])
    training = EXPORTED[EXPORTED["split"] == "train"]
    expected = ClassCounts.of(training, CATEGORIES, codes_of(training["readmitted"]), training["fold"].to_numpy())
    np.testing.assert_array_equal(found.counts.rows, expected.rows)
    for name, values in expected.categories.items():
        assert found.counts.categories[name].keys() == values.keys()
        for value, counts in values.items():
            np.testing.assert_array_equal(found.counts.categories[name][value], counts)
    assert found.known == {name for name in INPUTS if training[name].notna().any()}
    for name in FEATURES:
        assert distributed._median(found.values[name]) == training[name].median()


def test_the_sample_has_whole_patients_and_about_the_share_that_was_asked_for(strips: list[list[Strips]]) -> None:
    sample = summary(strips, {"train": 0.25, "validation": 1.0, "test": 0.0}).sample
    sizes = Counter(sample["split"])
    of_all = Counter(TABLE["split"])
    assert 0.15 < sizes["train"] / of_all["train"] < 0.35
    assert (sizes["validation"], sizes["test"]) == (of_all["validation"], 0)
    training = EXPORTED[EXPORTED["split"] == "train"]
    sampled = sample[sample["split"] == "train"]["patient_nbr"]
    assert Counter(sampled) == Counter(training["patient"][training["patient"].isin(sampled)])


def test_patients_are_counted_once_however_the_rows_are_spread(strips: list[list[Strips]]) -> None:
    lists = [distributed._patients_of(one) for share in strips for one in share]
    counts = sum((distributed._count_patients(*bucket) for bucket in zip(*lists, strict=True)), Counter())
    assert counts["shared"] == 0
    assert {split: counts[split] for split in SPLITS} == EXPORTED.groupby("split")["patient"].nunique().to_dict()


def test_a_patient_in_two_splits_is_found() -> None:
    patients = {"train": np.array([1, 2]), "validation": np.array([3]), "test": np.array([], dtype=np.int64)}
    others = {"train": np.array([1]), "validation": np.array([2, 3]), "test": np.array([4])}
    assert distributed._count_patients(patients, others) == {"shared": 1, "train": 2, "validation": 2, "test": 1}


def test_a_split_without_a_class_is_named(strips: list[list[Strips]]) -> None:
    found = summary(strips)
    found.classes["test"]["<30"] = 0  # type: ignore[index]
    with pytest.raises(NoTrainingData, match=r"the test split \(\d+\) lack the class <30"):
        found.check()
