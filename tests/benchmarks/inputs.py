"""Rows of `INPUTS` as a table for scikit-learn. Imports little, because imports count towards its cold start."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from readmission.domain.features import INPUTS, NUMBERS


def table(rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    columns: dict[str, Any] = dict(zip(INPUTS, map(list, zip(*rows, strict=True)), strict=True))
    return pd.DataFrame(columns | {name: np.array(columns[name], dtype=float) for name in NUMBERS})
