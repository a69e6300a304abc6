"""Does a model forecast as well from diagnoses in ICD-10-CM? `python -m tests.benchmarks.icd10 ARCHIVE [FAMILY]`.

The archive is read twice, as it is and with its diagnoses in ICD-10-CM, which are then read as any delivery's. A model
learns from each, and the early AUC on the test patients is compared.
"""

import csv
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from readmission.domain import diagnoses, icd9
from readmission.domain.contract import CLASSES, MISSING
from readmission.evaluation import dataset
from readmission.evaluation.metrics import compute_metrics
from readmission.training import families

from tests.as_icd10 import DIAGNOSES, Forward
from tests.benchmarks import encounters


def rows_of(archive: Path) -> list[dict[str, str]]:
    """The rows of UCI's archive."""
    with zipfile.ZipFile(archive) as members:
        name = next(name for name in members.namelist() if name.endswith("diabetic_data.csv"))
        return list(csv.DictReader(io.TextIOWrapper(members.open(name), newline="")))


def in_icd10(rows: Iterable[dict[str, str]]) -> tuple[list[dict[str, str]], Counter[str]]:
    """The rows in ICD-10-CM without the diagnoses that cannot be read back, and what became of the known ones.

    Counts them as `known`, and how many are `unmapped`, of the `same category`, and of the `same group`.
    """
    forward, found, counts = Forward(), [], Counter[str]()
    for row in rows:
        translated = forward.row(row)
        read = diagnoses.read(translated, "icd10")
        for name in DIAGNOSES:
            if row[name] == MISSING:
                continue
            counts["known"] += 1
            code = read.codes.get(name)
            if code is None:
                translated[name] = MISSING
                counts["unmapped"] += 1
                continue
            counts["same category"] += icd9.category(code) == icd9.category(row[name])
            counts["same group"] += icd9.group(code) == icd9.group(row[name])
        found.append(translated)
    return found, counts


def early_auc(rows: list[dict[str, str]], family: Any) -> float:
    """The early AUC on the test patients of a model of the family that learned from these rows."""
    parts = dataset.parts_of(encounters.of(rows).table, "real")
    pipeline = families.fit(family, parts["train"], parts["validation"])
    shares = pipeline.predict_proba(parts["test"].features)
    return compute_metrics(parts["test"].target.astype(str).tolist(), shares, sorted(CLASSES))["auc_early"]


def _main(archive: str, family: str = "logistic_regression") -> None:
    rows = rows_of(Path(archive))
    translated, counts = in_icd10(rows)
    known = counts.pop("known")
    print(f"{known:,} diagnoses: {', '.join(f'{name} {count / known:.2%}' for name, count in sorted(counts.items()))}")
    before, after = early_auc(rows, family), early_auc(translated, family)
    print(f"{family}: early AUC {before:.4f} in ICD-9-CM, {after:.4f} in ICD-10-CM ({after - before:+.4f})")


if __name__ == "__main__":
    _main(*sys.argv[1:])
