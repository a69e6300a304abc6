"""The language of a model card: its texts and its number format. This module has the English one."""

from collections.abc import Mapping
from typing import Any, Final, Protocol


class Wording(Protocol):
    """Texts by key, and numbers, in one language (an ISO 639-1 code)."""

    @property
    def language(self) -> str: ...

    def text(self, key: str, /, **values: Any) -> str:
        """The text of a key, with its placeholders filled in."""
        ...

    def known(self, key: str, otherwise: str) -> str:
        """The text of a key that only some data has a name for."""
        ...

    def number(self, value: float, digits: int = 0) -> str: ...

    def signed(self, value: float, digits: int) -> str: ...

    def percent(self, share: float, digits: int = 1) -> str: ...


TEXTS: Final[Mapping[str, str]] = {
    "synthetic": (
        "SYNTHETIC DATA. This model was trained on synthetic patients. Its figures say nothing about real ones."
    ),
    "recalibrated": (
        "FOR ONE SITE. This is version {version}, recalibrated for the site {site}: its forecasts have that site's base"
        " rates, and its figures are of that site's stays. Not for other sites."
    ),
    "title": "Model card: {name}, version {version}",
    "head": (
        "{family}, registered {created} UTC. Forecasts at discharge whether a diabetic patient will be readmitted:"
        " within 30 days, later, or not at all."
    ),
    "decision": "Decision: {decision}. {reason}.",
    "production": "In production after this decision: version {version}.",
    # Intended use
    "use": "Intended use",
    "use_intended": (
        "Intended: to help a hospital team choose which patients to follow up after discharge, alongside its own"
        " judgement."
    ),
    "use_not_decisions": "Not for decisions on treatment, discharge, insurance or payment.",
    "use_not_patients": (
        "Not for patients without diabetes, for children, or for stays that end in death or hospice care."
    ),
    "use_not_elsewhere": "Not for another hospital without an evaluation on its own patients.",
    "use_not_cause": "Not a causal model: changing an important feature need not change the outcome.",
    # Data
    "data": "Data",
    "data_real": (
        "Real encounters in the schema of Diabetes 130-US Hospitals 1999-2008 (UCI, CC BY 4.0; Strack et al. 2014)."
    ),
    "split": "Split",
    "stays": "Stays",
    "patients": "Patients",
    "class_<30": "within 30 days",
    "class_>30": "later",
    "class_NO": "not readmitted",
    "sites": "Sites whose stays the models learn from and are tested on:",
    "site_rows": "{site}: {count} stays",
    "by_patient": "Splits are by patient, using a hash of the patient number: no patient is in two splits.",
    "contract": (
        "Checked against the data contract: {rows} rows in {batches} batches, {quarantined} of them ({share}) in"
        " quarantine."
    ),
    "most_broken": "Rules broken most often:",
    "rule": "{rule}: {count} rows",
    "excluded": "Excluded:",
    "excluded_rows": "{reason}: {count} rows",
    # Metrics
    "metrics": "Metrics",
    "validation": "validation",
    "test": "test",
    "train": "train",
    "question": "{question}: {metric}",
    "early": "Readmitted within 30 days",
    "any": "Readmitted at any time",
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "three_log_loss": "Three classes: log loss",
    "three_accuracy": "Three classes: accuracy",
    "three_f1_macro": "Three classes: macro F1",
    "three_auc_macro_ovr": "Three classes: AUC, one against the rest",
    "intervals": (
        "95% intervals in brackets, from a bootstrap over patients ({resamples} resamples). The validation split also"
        " selected the model, so quote the test split."
    ),
    "plot_roc": "ROC curves",
    "plot_precision_recall": "Precision-recall curves",
    # Calibration and operating point
    "calibration": "Calibration and operating point",
    "calibration_slope": "calibration slope (best 1)",
    "calibration_intercept": "calibration intercept (best 0)",
    "ece": "expected calibration error",
    "top10_ppv": "Flagging the highest 10%: share of flagged stays readmitted within 30 days (PPV)",
    "top10_recall": "Flagging the highest 10%: share of readmissions within 30 days that are flagged (recall)",
    "plot_reliability": "Reliability of the probabilities",
    # Thresholds
    "thresholds": "How many patients to call",
    "thresholds_unknown": "Not measured: an earlier release trained this version.",
    "thresholds_text": (
        "Test split, readmission within 30 days, for 100 discharges of which {rate} are readmitted so early."
        " Patients with at least the early risk of a line are called."
    ),
    "called": "Called, of 100",
    "from_risk": "From an early risk of",
    "hits": "Readmitted early among them",
    "misses": "Readmitted early, not called",
    "to_call": "Calls per early readmission",
    "net_benefit": (
        "The decision curve compares calling by the model with calling everybody or nobody. A threshold says how many"
        " calls one early readmission is worth: at 20% it is worth five, of which four are in vain. Use the model where"
        " its line is above both others."
    ),
    "plot_decision_curve": "Decision curve",
    # Subgroups
    "subgroups": "Subgroups",
    "subgroups_text": (
        "Test split, readmission within 30 days. Flagged share and PPV are for the common threshold that flags 10% of"
        " all stays. Groups with fewer than 50 stays or 5 early readmissions are too small for figures."
    ),
    "group": "Group",
    "early_count": "Early",
    "auc_early": "AUC early",
    "brier_early": "Brier early",
    "in_the_large": "Predicted minus observed",
    "flagged": "Flagged",
    "ppv": "PPV",
    "too_few": "too few",
    # Feature effect
    "effects": "Feature effect",
    "effects_none": "Not measured.",
    "effects_largest": (
        "The ten most important features, each shuffled alone: {features}. Correlated features share their effect."
    ),
    "plot_feature_effect": "Effect of each feature",
    # Limits
    "limits": "Limits",
    "limit_period": (
        "The published data is from 130 US hospitals, 1999 to 2008; care, coding and patients have changed since."
    ),
    "limit_elsewhere": "Readmissions to hospitals outside the data are not recorded and count as none.",
    "limit_separation": (
        "Early readmissions are hard to predict: credible published AUCs on this data range from 0.61 to 0.69."
    ),
    "limit_groups": (
        "Race, gender and age are as recorded; small groups have wide intervals, and a difference may be due to chance."
    ),
    "limit_optional": "An optional field that is not given counts as unknown and makes the forecast less sharp.",
    # Training
    "training": "Training",
    "run": "MLflow run {run}; the API serves its artifact {scorer}.",
    "parameter": "Parameter or tag",
    "value": "Value",
    "reproduce": (
        "To reproduce: the same release, make rebuild VERSION={version}. It trains on the rows of then, and seeds are"
        " fixed."
    ),
    "reproduce_distributed": (
        "To reproduce: the same release on the same clean rows, make train-distributed WORKERS={workers}{limit};"
        " seeds are fixed. Another number of workers gives other trees."
    ),
    # Figures
    "undefined": "undefined",
    "figure": "{value} ({low} to {high})",
    # Registry description
    "whole_card": "The whole card: {markdown} and {html} of run {run}.",
}


class English:
    """The card's own language, in which the pipeline writes it."""

    language: Final = "en"

    def text(self, key: str, /, **values: Any) -> str:
        return TEXTS[key].format(**values) if values else TEXTS[key]

    def known(self, key: str, otherwise: str) -> str:
        return TEXTS.get(key, otherwise)

    def number(self, value: float, digits: int = 0) -> str:
        return f"{value:,.{digits}f}"

    def signed(self, value: float, digits: int) -> str:
        return f"{value:+,.{digits}f}"

    def percent(self, share: float, digits: int = 1) -> str:
        return f"{share:.{digits}%}"


ENGLISH: Final = English()
