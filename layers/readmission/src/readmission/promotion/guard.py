"""Watches the challenger by itself: lets it pass from shadow to canary to Production, or withdraws it.

It never overrules a person. Whatever a person has done since, in the ledger or in the registry itself, ends the trial.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import ChallengeResult
from readmission.promotion import alias, challenger, intended, ledger, trial, versions
from readmission.promotion.incumbent import contender
from readmission.promotion.reasons import Code
from readmission.promotion.trial import Evidence, Pairs
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, reachable, version_challenging, version_in_production
from readmission.settings import ChallengeSettings, ModelSettings

ACTOR: Final = "guard"
# To show a challenger that was left behind when they were turned off.
_DEFAULTS: Final = ChallengeSettings(shadow_requests=1000, canary_share=0, label_due_days=30)


def guard(clean: Connection, settings: ModelSettings, challenges: ChallengeSettings) -> ChallengeResult | None:
    """Decide on the challenger, if there is one. Returns the decision, or None if there is nothing to decide yet.

    Raises `TrackingUnavailable`.
    """
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        # Read under the lock: a person's decision may have come first.
        tried = ledger.challenge(clean, settings.name)
        version = find_version(client, settings.name, tried.version) if tried else None
        if tried is None or version is None:
            return None
        watch = _Watch(client, clean, settings, challenges, tried, version)
        return watch.interference() or watch.judge()


def state(clean: Connection, settings: ModelSettings, challenges: ChallengeSettings | None) -> dict[str, Any] | None:
    """What is known of the challenger, for people; None if there is none. Decides nothing.

    Raises `TrackingUnavailable`.
    """
    tried = ledger.challenge(clean, settings.name)
    if tried is None:
        return None
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        version = find_version(client, settings.name, tried.version)
        weights = intended.weights(client, version, tried.previous_version) if version else None
    pairs = _pairs(clean, settings, tried, challenges or _DEFAULTS)
    found = trial.evidence(replace(pairs, weights=weights))
    objection = trial.objection(found)
    return {
        "version": tried.version,
        "production_version": tried.previous_version,
        "decision": tried.decision,
        "since": ledger.decided_at(clean, tried).isoformat(timespec="seconds"),
        "canary_share": tried.metrics.get(names.CANARY_SHARE, 0),
        "reason": tried.reason,
        "by": tried.decided_by,
        "needed": challenges.shadow_requests if challenges else None,
        "evidence": found.as_json(),
        "summary": trial.summary(found),
        "objection": objection.reason if objection else None,
    }


def _pairs(clean: Connection, settings: ModelSettings, tried: ledger.Entry, challenges: ChallengeSettings) -> Pairs:
    """More than are needed for a step, because several minutes may have passed; and no more than can be read in one."""
    both = trial.Versions(settings.name, tried.previous_version or "", tried.version)
    limit = 2 * max(challenges.shadow_requests, trial.CHECK_FROM)
    return Pairs.load(clean, both, ledger.decided_at(clean, tried), challenges.label_due_days, limit)


@dataclass(frozen=True, slots=True)
class _Watch:
    """The decision `tried` that lets `version` be tried now, and how it is watched."""

    client: MlflowClient
    clean: Connection
    settings: ModelSettings
    challenges: ChallengeSettings
    tried: ledger.Entry
    version: ModelVersion

    def interference(self) -> ChallengeResult | None:
        """Withdraw the challenger if somebody has moved an alias in the registry, past the ledger."""
        aliased = version_challenging(self.client, self.settings.name)
        if aliased is None or aliased.version != self.version.version:
            return self._withdraw("somebody took the alias Challenger from it in the registry", "by_hand", None)
        production = version_in_production(self.client, self.settings.name)
        if production is None or str(production.version) != self.tried.previous_version:
            now = f"version {production.version}" if production else "no version"
            return self._withdraw(
                f"it was compared with version {self.tried.previous_version}, and {now} is in Production now",
                "overtaken",
                None,
            )
        return None

    def judge(self) -> ChallengeResult | None:
        """Withdraw the challenger, let it go one step further, or wait."""
        weights = intended.weights(self.client, self.version, self.tried.previous_version)
        pairs = _pairs(self.clean, self.settings, self.tried, self.challenges)
        found = trial.evidence(replace(pairs, weights=weights))
        if objection := trial.objection(found):
            reason = f"{contender(self.version)} {objection.reason}"
            return self._withdraw(reason, objection.code, found)
        if found.forecasts < self.challenges.shadow_requests:
            return None
        if self.tried.decision == "shadowed" and self.challenges.canary_share:
            share = self.challenges.canary_share
            reason = f"{contender(self.version)} answers {share:.0%} of the patients: {trial.summary(found)}"
            return self._proceed("canaried", reason, "shadow_passed", found, {names.CANARY_SHARE: share})
        code: Code = "canary_passed" if self.tried.decision == "canaried" else "shadow_passed"
        reason = f"{contender(self.version)} compared with version {self.tried.previous_version} on live requests:"
        return self._proceed("promoted", f"{reason} {trial.summary(found)}", code, found, {})

    def _withdraw(self, reason: str, code: Code, found: Evidence | None) -> ChallengeResult:
        metrics = self._metrics(found)
        return self._decide(challenger.withdrawal(self.version, self.tried, reason, code, ACTOR, metrics=metrics))

    def _proceed(
        self, decision: ledger.Decision, reason: str, code: Code, found: Evidence, more: dict[str, Any]
    ) -> ChallengeResult:
        metrics = self._metrics(found) | more
        entry = versions.ledger_entry(
            self.version, self.tried.previous_version, decision, reason, code, metrics=metrics
        )
        return self._decide(replace(entry, decided_by=ACTOR))

    def _decide(self, entry: ledger.Entry) -> ChallengeResult:
        return challenger.result(challenger.decide(self.client, self.clean, self.version, entry))

    def _metrics(self, found: Evidence | None) -> dict[str, Any]:
        """The evidence, and the limits it was held against."""
        if found is None:
            return {}
        limits = {
            "requests": self.challenges.shadow_requests,
            "checked_from": trial.CHECK_FROM,
            "shift": trial.LARGEST_SHIFT,
            "correlation": trial.LEAST_CORRELATION,
        }
        return {"live": found.as_json(), "limits": limits}
