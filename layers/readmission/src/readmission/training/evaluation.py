"""How good the probabilities are: metrics of one split, all larger-is-better but the losses."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)

SELECTION: Final = "log_loss"  # what chooses between models: a proper score of all three probabilities


def metrics(target: Sequence[str], probabilities: Any, classes: Sequence[str]) -> dict[str, float]:
    """Metrics of three-class `probabilities` (rows x classes, in the order of `classes`, which is sorted).

    `early` is <30 days against the rest, `any` is any readmission against none.
    """
    truth = np.asarray(target)
    shares = np.asarray(probabilities)
    column = {name: shares[:, place] for place, name in enumerate(classes)}
    guess = np.asarray(classes)[shares.argmax(axis=1)]
    return {
        "log_loss": float(log_loss(truth, shares, labels=list(classes))),
        "accuracy": float(accuracy_score(truth, guess)),
        "f1_macro": float(f1_score(truth, guess, average="macro", zero_division=0)),
        "auc_macro_ovr": float(roc_auc_score(truth, shares, multi_class="ovr", labels=list(classes))),
        "auc_early": float(roc_auc_score(truth == "<30", column["<30"])),
        "average_precision_early": float(average_precision_score(truth == "<30", column["<30"])),
        "brier_early": float(brier_score_loss(truth == "<30", column["<30"])),
        "auc_any": float(roc_auc_score(truth != "NO", 1 - column["NO"])),
    }
