"""The names that training, promotion, reporting and serving share in MLflow.

The experiment and the registered model both have the name in `ModelSettings.name`. Runs and versions of earlier
releases carry these names, so a changed one would orphan them.
"""

from typing import Final

# The alias of the version in production, and the deprecated stage of the same name.
PRODUCTION: Final = "Production"
# The alias of the version that is tried on live requests.
CHALLENGER: Final = "Challenger"

# Artifacts of a training run.
SCORER: Final = "scorer.json"
EVALUATION: Final = "evaluation.json"
DATA_REPORT: Final = "data_report.json"
TRAINING_ROWS: Final = "training_rows.json"
RECALIBRATION: Final = "recalibration.json"
REFERENCE: Final = "reference.json"
MONITOR: Final = "monitor.json"
MODEL_CARD_MARKDOWN: Final = "model_card.md"
MODEL_CARD_HTML: Final = "model_card.html"

# Tags of a training run, copied to the version that is registered from it.
FAMILY: Final = "family"
DATA_KIND: Final = "data_kind"
SCORER_SHA256: Final = "scorer_sha256"
PIPELINE_RUN: Final = "pipeline_run"
DATA_HASH: Final = "data_hash"
CODE_VERSION: Final = "code_version"
RECIPE: Final = "recipe"  # what the model depends on besides rows and code; not copied to the version
PROGRESS: Final = "progress"  # how far the fit is, for a person who waits; not copied to the version
SITES: Final = "sites"  # the sites of the rows, separated by commas
ENGINE: Final = "engine"  # what fitted the model, if it is not scikit-learn
WORKERS: Final = "workers"  # how many of them, on which the trees depend
ROWS_LIMIT: Final = "rows_limit"  # of a trial
RECALIBRATED_FROM: Final = "recalibrated_from"  # the version that was fitted to the class shares of a site
RECALIBRATED_FOR: Final = "recalibrated_for"  # that site
OPTIONAL_RUN_TAGS: Final = (ENGINE, RECALIBRATED_FROM, RECALIBRATED_FOR)
RUN_TAGS: Final = (FAMILY, DATA_KIND, SCORER_SHA256, PIPELINE_RUN, DATA_HASH, CODE_VERSION, SITES)

# Tags of a version, written by promotions and rollbacks.
PROMOTED_AT: Final = "promoted_at"  # ISO 8601, UTC
DECISION: Final = "decision"
DECISION_REASON: Final = "decision_reason"
LEDGER_ENTRY: Final = "ledger_line"  # id of the ledger entry that last put the version into Production
CHALLENGE_ENTRY: Final = "challenge_line"  # id of the ledger entry that last made, or ended, the version's trial
CHALLENGED_AT: Final = "challenged_at"  # ISO 8601, UTC
CANARY_SHARE: Final = "canary_share"  # of the patients that the challenger answers, 0 to 1

# Metrics of a training run that the promotion reads.
VALIDATION_LOG_LOSS: Final = "validation_log_loss"
SCORER_DIFFERENCE: Final = "scorer_largest_difference"


def plot(name: str) -> str:
    """The artifact path of a plot."""
    return f"plots/{name}.png"
