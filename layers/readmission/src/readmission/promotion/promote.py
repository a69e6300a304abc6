"""Decides whether the best candidate replaces the version in Production, and carries the decision out."""

from dataclasses import dataclass, replace
from typing import Final, cast

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import DataKind, Family, PromoteEvent, PromoteResult
from readmission.errors import ScorerInvalid
from readmission.evaluation import comparison, dataset
from readmission.promotion import alias, candidates, challenger, ledger, scores, sites, undecided, verdict, versions
from readmission.promotion.incumbent import Incumbent, contender
from readmission.promotion.reasons import Code
from readmission.promotion.verdict import Contender, Verdict
from readmission.registry import names
from readmission.registry.mlflow_client import reachable, version_in_production
from readmission.settings import ChallengeSettings, ModelSettings

# What a comparison with the version that serves has shown. Any other promotion fills a place that is empty, or held by
# what should not serve: trying it first would only keep it so.
_COMPARED: Final[tuple[Code, ...]] = ("better", "newer")


def promote(
    event: PromoteEvent, clean: Connection, settings: ModelSettings, challenges: ChallengeSettings | None = None
) -> PromoteResult:
    """Register the best candidate, write the decision to the ledger, and carry it out.

    With `challenges`, a candidate that passes the comparison is first tried on live requests, as the challenger.

    An execution decides once: if its step runs again, it returns the first decision. Raises `NoCandidates` if there is
    no finished training run, and `TrackingUnavailable`.
    """
    execution = event.get("execution")
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        if entry := ledger.of_execution(clean, settings.name, execution):
            return result_of(client, entry)
        run = candidates.best(candidates.find(client, event, settings))
        version = versions.register(client, run, settings)
        incumbent = Incumbent.find(client, clean, settings.name)
        undecided.refuse(client, clean, settings.name, incumbent, but=str(version.version))
        if incumbent and incumbent.serves and incumbent.number == str(version.version):
            return _already_in_production(client, clean, version)
        tried = ledger.challenge(clean, settings.name)
        if tried and tried.version == str(version.version):
            return result_of(client, replace(tried, decision="shadowed"))
        known = dataset.sites(clean, event["data_kind"])
        site = sites.judged_on(run, incumbent, known)
        decided = _Challenge(client, clean, settings, event["data_kind"], run, version, site).judge(incumbent)
        decided = sites.checked(decided, run, site, known, event)
        shadows = bool(challenges and incumbent and incumbent.serves and decided.promoted and decided.code in _COMPARED)
        failed = candidates.failed(event)
        entry = versions.ledger_entry(
            version,
            incumbent.number if incumbent else None,
            "shadowed" if shadows else "promoted" if decided.promoted else "refused",
            verdict.with_failed_families(decided.reason, failed),
            decided.code,
            metrics=decided.metrics | ({"failed_families": failed} if failed else {}),
            execution=execution,
        )
        if not _is_repeated(clean, entry):
            if decided.promoted:
                challenger.give_way(client, clean, settings, entry, event.get("by"))
            entry = ledger.append(clean, replace(entry, decided_by=event.get("by")))
            alias.carry_out(client, version, entry)
        return result_of(client, entry)


@dataclass(frozen=True, slots=True)
class _Challenge:
    """Collects what the rules of `verdict` need to know, and stops as soon as one decides.

    With `site`, its test rows alone decide.
    """

    client: MlflowClient
    clean: Connection
    settings: ModelSettings
    kind: DataKind
    run: Run
    version: ModelVersion
    site: str | None = None

    @property
    def challenger(self) -> Contender:
        return replace(contender(self.version), data_kind=self.kind)

    def judge(self, incumbent: Incumbent | None) -> Verdict:
        known = verdict.by_record(
            self.challenger,
            incumbent.contender if incumbent else None,
            candidates.scorer_difference(self.run),
            self._withdrawal(),
            over_real=incumbent is not None and incumbent.is_real,
        )
        if known:
            return known
        test = scores.TestRows.load(self.clean, self.kind, self.settings.max_training_rows, self.site)
        try:
            own = scores.forecast(versions.scorer_of(self.client, self.version, self.settings), test)
        except ScorerInvalid as error:
            return verdict.unscorable_challenger(self.challenger, str(error))
        figures = scores.figures(test, own)
        if incumbent is None:
            return verdict.without_incumbent(self.challenger, figures, test.counts)
        return self._succeed(incumbent, test, own, figures)

    def _succeed(
        self, incumbent: Incumbent, test: scores.TestRows, own: scores.Forecasts, figures: comparison.Figures
    ) -> Verdict:
        """Against the version that serves or served last."""
        if found := verdict.by_own_figures(self.challenger, incumbent.contender, figures, test.counts):
            return found
        if incumbent.version is None:
            return verdict.gone_incumbent(self.challenger, incumbent.contender, figures, test.counts)
        if incumbent.version.version == self.version.version:
            return verdict.returned(self.challenger, figures, test.counts)
        return self._against(incumbent.version, test, own, figures)

    def _against(
        self, incumbent: ModelVersion, test: scores.TestRows, own: scores.Forecasts, figures: comparison.Figures
    ) -> Verdict:
        opponent = contender(incumbent)
        try:
            scorer = versions.scorer_of(self.client, incumbent, self.settings)
            theirs = scores.forecast(scorer, test).ordered_by(own.classes)
        except ScorerInvalid as error:
            return verdict.unscorable_incumbent(self.challenger, opponent, figures, test.counts, str(error))
        duel = verdict.Duel(
            challenger=figures,
            incumbent=scores.figures(test, theirs),
            difference=comparison.compare(test.rows, own.probabilities, theirs.probabilities, own.classes),
            newer=self._is_newer_than(incumbent),
        )
        return verdict.by_comparison(self.challenger, opponent, duel, test.counts)

    def _withdrawal(self) -> verdict.Withdrawal | None:
        number = str(self.version.version)
        if entry := ledger.withdrawal_of(self.clean, self.version.name, number):
            return verdict.Withdrawal(entry.version, entry.reason)
        found = challenger.fault_of(self.clean, self.version.name, number)
        return verdict.Withdrawal(None, found.reason) if found else None

    def _is_newer_than(self, incumbent: ModelVersion) -> bool:
        """By the start of training: version numbers follow the order in which runs were put forward.

        A recalibration has learned nothing newer, so that it has to be better.
        """
        if names.RECALIBRATED_FOR in self.run.data.tags:
            return False
        return bool(self.run.info.start_time > self.client.get_run(str(incumbent.run_id)).info.start_time)


def _is_repeated(clean: Connection, entry: ledger.Entry) -> bool:
    """Whether a caller without an execution gets the same decision again; its reason contains the figures."""
    if entry.execution is not None:
        return False
    before = ledger.newest_on(clean, entry.model_name, entry.version)
    fields = ("previous_version", "decision", "reason", "execution")
    return before is not None and all(getattr(before, name) == getattr(entry, name) for name in fields)


def _already_in_production(client: MlflowClient, clean: Connection, version: ModelVersion) -> PromoteResult:
    """The result for a candidate that is the version in Production, with the decision that put it there."""
    reason = f"{contender(version)} is in Production already"
    if entry := ledger.newest_on(clean, version.name, str(version.version)):
        reason += f" ({entry.decision}: {entry.reason})"
    return result_of(client, versions.ledger_entry(version, None, "promoted", reason, "returned"))


def result_of(client: MlflowClient, entry: ledger.Entry, *, just_made: bool = True) -> PromoteResult:
    """The result of a decision, with the version that serves now.

    The decision is `just_made` if `Production` cannot have moved since.
    """
    in_production: str | None = entry.version
    if entry.decision != "promoted" or not just_made:
        # Not the ledger's: the previous version may have lost the alias, or have been deleted.
        serving = version_in_production(client, entry.model_name)
        in_production = str(serving.version) if serving else None
    return PromoteResult(
        decision=entry.decision if entry.decision in ("promoted", "shadowed") else "refused",
        reason=entry.reason,
        model=cast(Family, entry.family),
        version=entry.version,
        production_version=in_production or "",
    )
