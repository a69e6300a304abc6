"""Rows whose true probabilities are known."""

import numpy as np
import pandas as pd
from readmission.evaluation.dataset import Part

CLASSES = ["<30", ">30", "NO"]


def sample(rows: int = 1200, seed: int = 1) -> tuple[Part, np.ndarray]:
    """Rows of patients with about two stays each, and the probabilities from which their classes were drawn."""
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=rows)
    shares = probabilities(pd.DataFrame({"signal": signal}))
    target = np.array(CLASSES)[(generator.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 2)]
    groups = pd.DataFrame(
        {
            "race": generator.choice(["Caucasian", "Asian"], rows, p=[0.98, 0.02]),
            "gender": generator.choice(["Female", "Male"], rows),
            "age_band": generator.choice(["under 60", "60 and over"], rows),
        }
    )
    features = pd.DataFrame({"noise": generator.normal(size=rows), "signal": signal})
    return Part(features, pd.Series(target), generator.integers(0, rows // 2, rows), groups), shares


def probabilities(features: pd.DataFrame) -> np.ndarray:
    signal = features["signal"].to_numpy()
    exponentials = np.exp(np.stack([-1.5 + 0.8 * signal, -0.35 + 0.4 * signal, 0.4 - 0.2 * signal], axis=1))
    found: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return found
