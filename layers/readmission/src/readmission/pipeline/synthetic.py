"""Synthetic encounters in the UCI schema, for trying the system without real data. Not a substitute for real data.

The marginal distributions roughly follow the real table. Readmission depends on a few fields in the known direction,
above all on earlier inpatient stays, so that models have something to learn.
"""

import math
import random
from bisect import bisect
from collections.abc import Generator, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Final

from readmission.domain.contract import AGES, DRUGS, NAMES


class _Weighted[T]:
    """Values to choose from as `Random.choices` does, which adds up the weights at every call."""

    def __init__(self, values: Sequence[T], weights: Sequence[float]) -> None:
        self._values = values
        self._sums = list(accumulate(weights))
        self._total = self._sums[-1] + 0.0
        self._last = len(values) - 1

    def one(self, r: random.Random) -> T:
        return self._values[bisect(self._sums, r.random() * self._total, 0, self._last)]


_DECADE: Final = _Weighted(range(10), (2, 7, 17, 38, 97, 173, 225, 261, 172, 28))
_DOSE: Final = _Weighted(("Steady", "Up", "Down"), (8, 1, 1))
_DISCHARGE: Final = _Weighted((1, 3, 6, 18, 11, 13), (64, 15, 14, 5, 1.5, 0.5))
_RACE: Final = _Weighted(("Caucasian", "AfricanAmerican", "?", "Hispanic", "Other", "Asian"), (75, 19, 2, 2, 1, 1))
_GENDER: Final = _Weighted(("Female", "Male"), (54, 46))
_ADMISSION_TYPE: Final = _Weighted((1, 2, 3, 6), (53, 18, 19, 10))
_ADMISSION_SOURCE: Final = _Weighted((1, 7, 17), (32, 58, 10))
_PAYER: Final = _Weighted(("?", "MC", "HM", "SP"), (40, 35, 15, 10))
_SPECIALTY: Final = _Weighted(
    ("?", "InternalMedicine", "Emergency/Trauma", "Family/GeneralPractice", "Cardiology"), (50, 20, 12, 10, 8)
)
_GLUCOSE: Final = _Weighted(("None", "Norm", ">200", ">300"), (95, 3, 1, 1))
_A1C: Final = _Weighted(("None", "Norm", ">7", ">8"), (83, 5, 4, 8))
_DIAGNOSES: Final = ("428", "414", "786", "410", "486", "427", "250.83", "276", "401", "V57", "E885", "715")
_FREQUENT: Final = {"insulin": 0.53, "metformin": 0.2, "glipizide": 0.12, "glyburide": 0.1, "pioglitazone": 0.07}
_DRUG_SHARES: Final = tuple((drug, _FREQUENT.get(drug, 0.01)) for drug in DRUGS)
_NOT_GIVEN: Final = dict.fromkeys(DRUGS, "No")
_in_order: Final = itemgetter(*NAMES)


def rows(count: int, seed: int) -> Generator[list[str]]:
    """Yield `count` rows of 50 fields in the contract's order. The same `count` and `seed` give the same rows."""
    random_ = random.Random(f"{seed}:{count}")
    patients = max(1, round(count * 0.7))
    for number in range(count):
        yield _row(random_, 1_000 + 7 * number, 1 + random_.randrange(patients))


def _row(r: random.Random, encounter_id: int, patient_nbr: int) -> list[str]:
    decade = _DECADE.one(r)
    frailty = r.gauss(0.08 * (decade - 6), 1.0)
    stay = min(14, 1 + _count(r, 3.2 * math.exp(0.15 * frailty)))
    inpatient = _count(r, 0.4 * math.exp(0.9 * frailty))
    doses = {drug: _DOSE.one(r) for drug, share in _DRUG_SHARES if r.random() < share}
    change = any(dose != "Steady" for dose in doses.values())
    diagnoses = min(16, 3 + _count(r, 4.5 + 0.5 * decade / 9))
    any_score = -1.0 + 0.45 * inpatient + 0.08 * diagnoses - 0.2 + 0.12 * frailty + 0.2 * bool(doses)
    early_score = -1.7 + 0.3 * min(inpatient, 4) + 0.04 * stay
    readmitted = "NO"
    # 11: died, 13: discharged to a hospice.
    discharge = _DISCHARGE.one(r)
    if r.random() < _logistic(any_score) and discharge not in (11, 13):
        readmitted = "<30" if r.random() < _logistic(early_score) else ">30"
    fields = {
        "encounter_id": str(encounter_id),
        "patient_nbr": str(patient_nbr),
        "race": _RACE.one(r),
        "gender": _GENDER.one(r),
        "age": AGES[decade],
        "weight": "?",
        "admission_type_id": str(_ADMISSION_TYPE.one(r)),
        "discharge_disposition_id": str(discharge),
        "admission_source_id": str(_ADMISSION_SOURCE.one(r)),
        "time_in_hospital": str(stay),
        "payer_code": _PAYER.one(r),
        "medical_specialty": _SPECIALTY.one(r),
        "num_lab_procedures": str(min(132, 1 + _count(r, 42))),
        "num_procedures": str(min(6, _count(r, 1.3))),
        "num_medications": str(min(81, 1 + _count(r, 10 + 1.4 * stay))),
        "number_outpatient": str(_count(r, 0.35)),
        "number_emergency": str(_count(r, 0.2 * math.exp(0.7 * frailty))),
        "number_inpatient": str(inpatient),
        "diag_1": r.choice(_DIAGNOSES),
        "diag_2": r.choice(_DIAGNOSES),
        "diag_3": r.choice((*_DIAGNOSES, "?")),
        "number_diagnoses": str(diagnoses),
        "max_glu_serum": _GLUCOSE.one(r),
        "A1Cresult": _A1C.one(r),
        "change": "Ch" if change else "No",
        "diabetesMed": "Yes" if doses else "No",
        "readmitted": readmitted,
    }
    return list(_in_order(_NOT_GIVEN | doses | fields))


def _logistic(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score))


def _count(r: random.Random, mean: float) -> int:
    """A sample from a Poisson distribution: Knuth's algorithm, or a normal approximation for means above 30."""
    if mean > 30:
        return max(0, round(r.gauss(mean, math.sqrt(mean))))
    limit, product, events = math.exp(-mean), r.random(), 0
    while product > limit and events < 40:
        product *= r.random()
        events += 1
    return events
