"""The rules that decide whether a challenger replaces the version in Production.

Pure functions from facts and figures to a verdict with its reason. They apply in this order, because each needs
more than the one before:

1. `by_record`: what the registry and the ledger say about the versions;
2. `by_own_figures` or, without an incumbent, `without_incumbent`: the challenger's figures on today's test rows;
3. `by_comparison`: both models on the same rows.

A reason is a text for people: it is stored in the ledger and shown as it is. Nothing parses it: programs read its code.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from readmission.evaluation.comparison import Comparison, Figures
from readmission.promotion.reasons import Code
from readmission.scoring.export import TOLERANCE

# A newer model may have a log loss higher by this much, at the upper end of the 95 % interval, and still take over.
# That is about a quarter of the distance between the weakest and the best family. Two trainings of the same recipe
# differ with a half-interval of about 0.0012, so the loss itself may rise by less than 0.001 at a time.
MARGIN: Final = 0.002
# Outside these limits the probabilities are unreliable. They apply from `ENOUGH_EARLY` early readmissions on, because
# chance alone moves a perfect model's figures (95 %): slope 0.87 to 1.17 and error up to 0.017 with 500 early
# readmissions in 4,500 rows; error up to 0.021 with 330 in 3,000; slope 0.76 to 1.25 and error up to 0.027 with 200 in
# 1,800.
SLOPES: Final = (0.8, 1.25)
LARGEST_ECE: Final = 0.02
ENOUGH_EARLY: Final = 500
# A subgroup must not lose more AUC than this with an interval entirely below 0. Both conditions are needed: among 90
# pairs of models of the same recipe on the real data, 26 had one of 11 subgroups that lost as much, 23 one with an
# interval below 0, and 2 both. An interval widened for the number of subgroups would have refused none and missed a
# loss of 0.14 in 286 rows.
SUBGROUP_LOSS: Final = 0.03


@dataclass(frozen=True, slots=True)
class Contender:
    """A version as the rules see it; `site` is the one that it was recalibrated for."""

    version: str
    family: str
    data_kind: str
    site: str = ""

    def __str__(self) -> str:
        of_site = f", recalibrated for the site {self.site}" if self.site else ""
        return f"version {self.version} ({self.family}{of_site})"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The rollback that took the challenger out of Production, or what ended its trial (`to_version` is None)."""

    to_version: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The size of today's test split. It grows with every delivery, and figures on other rows are not comparable."""

    rows: int
    patients: int
    early: int  # early readmissions


@dataclass(frozen=True, slots=True)
class Duel:
    """Both models on the same test rows; `newer` says whether the challenger was trained after the incumbent."""

    challenger: Figures
    incumbent: Figures
    difference: Comparison
    newer: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the challenger is promoted, why, and the figures for the ledger."""

    promoted: bool
    reason: str
    code: Code
    metrics: dict[str, Any] = field(default_factory=dict)


def by_record(
    challenger: Contender,
    incumbent: Contender | None,
    scorer_difference: float,
    withdrawal: Withdrawal | None,
    *,
    over_real: bool = False,
) -> Verdict | None:
    """Refuse the challenger for what is known without scoring a row; None if nothing speaks against it.

    `over_real` is whether a model trained on real data serves, or served last by the ledger.
    """
    if scorer_difference > TOLERANCE:
        return _refused(
            f"{challenger}: scorer and pipeline differ by {scorer_difference:g}, more than {TOLERANCE:g}", "unusable"
        )
    if incumbent and challenger.data_kind != "real" and (over_real or incumbent.data_kind == "real"):
        real = (
            str(incumbent) if incumbent.data_kind == "real" else "the last version that the ledger put into Production"
        )
        return _refused(
            f"{challenger} was trained on synthetic data, {real} on real data",
            "synthetic_over_real",
        )
    if withdrawal and withdrawal.to_version is None:
        return _refused(
            f"{challenger} was withdrawn as a challenger ({withdrawal.reason}); only a person can try it again",
            "withdrawn_before",
        )
    if withdrawal:
        return _refused(
            f"{challenger} was taken out of Production by the rollback to version {withdrawal.to_version}"
            f" ({withdrawal.reason}); only a rollback can bring it back",
            "rolled_back_before",
        )
    return None


def unscorable_challenger(challenger: Contender, problem: str) -> Verdict:
    """Refuse a challenger that cannot score today's test rows."""
    return _refused(f"{challenger} cannot be scored: {problem}", "unusable")


def without_incumbent(challenger: Contender, figures: Figures, counts: Counts) -> Verdict:
    """Promote the first version unless it is miscalibrated."""
    if refusal := _miscalibrated(challenger, figures, counts):
        return refusal
    return _promoted(
        f"{challenger} is the first version: {summary(figures, counts)}", "first", _metrics(figures, counts)
    )


def by_own_figures(challenger: Contender, incumbent: Contender, figures: Figures, counts: Counts) -> Verdict | None:
    """Refuse a miscalibrated challenger, promote the first one trained on real data; None if a comparison decides."""
    if refusal := _miscalibrated(challenger, figures, counts):
        return refusal
    if challenger.data_kind == "real" and incumbent.data_kind != "real":
        return _promoted(
            f"{challenger} was trained on real data, {incumbent} on synthetic data: {summary(figures, counts)}",
            "real_over_synthetic",
            _metrics(figures, counts),
        )
    return None


def returned(challenger: Contender, figures: Figures, counts: Counts) -> Verdict:
    """Promote again the version that served last, after somebody took the alias away."""
    return _promoted(
        f"{challenger} served last, and no version was in Production: {summary(figures, counts)}",
        "returned",
        _metrics(figures, counts),
    )


def gone_incumbent(challenger: Contender, incumbent: Contender, figures: Figures, counts: Counts) -> Verdict:
    """Promote the challenger after a version that somebody deleted in the registry."""
    return _promoted(
        f"{challenger}: {summary(figures, counts)}; {incumbent}, which served last, is no longer in the registry, so"
        " they cannot be compared",
        "previous_gone",
        _metrics(figures, counts),
    )


def unscorable_incumbent(
    challenger: Contender, incumbent: Contender, figures: Figures, counts: Counts, problem: str
) -> Verdict:
    """Promote the challenger over an incumbent that cannot score today's test rows."""
    return _promoted(
        f"{challenger}: {summary(figures, counts)}; {incumbent} can no longer be scored: {problem}",
        "previous_unusable",
        _metrics(figures, counts),
    )


def with_failed_families(reason: str, failed: Mapping[str, str]) -> str:
    """The reason with the families that were not among the candidates, and their errors, if there are any."""
    if not failed:
        return reason
    return f"{reason}; not trained: {', '.join(f'{family} ({error})' for family, error in failed.items())}"


def by_comparison(challenger: Contender, incumbent: Contender, duel: Duel, counts: Counts) -> Verdict:
    """Promote the challenger unless its log loss or a subgroup objects."""
    metrics = _metrics(duel.challenger, counts) | {
        "incumbent": duel.incumbent.as_json(),
        "difference": duel.difference.as_json(),
    }
    loss = duel.difference.log_loss
    pair = (
        f"{challenger} compared with {incumbent} on the same {counts.rows:,} test rows: log loss"
        f" {duel.challenger.log_loss:.4f} against {duel.incumbent.log_loss:.4f}, difference {loss}"
    )
    by_loss, by_subgroup = loss_objections(duel), subgroup_objections(duel.difference)
    if by_loss or by_subgroup:
        code: Code = "not_better" if by_loss else "worse_in_subgroups"
        return _refused(f"{pair}; {'; '.join(by_loss + by_subgroup)}", code, metrics)
    is_better = loss.high < 0
    how = "better" if is_better else f"worse by at most {MARGIN}, and trained later"
    return _promoted(
        f"{pair}, {how}; {_calibration(duel.challenger, counts)}", "better" if is_better else "newer", metrics
    )


def loss_objections(duel: Duel) -> list[str]:
    """Why the log loss speaks against the challenger; empty if it does not. An undefined log loss objects."""
    loss = duel.difference.log_loss
    if not loss.high <= MARGIN:
        return [f"it may be worse by more than {MARGIN}"]
    if not duel.newer and not loss.high < 0:
        return ["it is not better, and the model was not trained later"]
    return []


def subgroup_objections(difference: Comparison) -> list[str]:
    """Which subgroups speak against the challenger."""
    return [
        f"AUC of early readmission in the subgroup {name} changes by {auc}"
        for name, auc in difference.subgroups.items()
        if auc.value < -SUBGROUP_LOSS and auc.high < 0
    ]


def miscalibration(figures: Figures, early: int) -> list[str]:
    """Why the probabilities of early readmission are unreliable; empty with too few early readmissions to tell."""
    if early < ENOUGH_EARLY:
        return []
    found = []
    if not SLOPES[0] <= figures.calibration.slope <= SLOPES[1]:
        found.append(f"calibration slope {figures.calibration.slope:.2f} is outside {SLOPES[0]} to {SLOPES[1]}")
    if not figures.calibration.ece <= LARGEST_ECE:
        found.append(f"calibration error {figures.calibration.ece:.3f} is above {LARGEST_ECE}")
    return found


def summary(figures: Figures, counts: Counts) -> str:
    """The challenger's figures for a reason, with a note if there are too few early readmissions for the rules."""
    return f"log loss {figures.log_loss:.4f} on {counts.rows:,} test rows, {_calibration(figures, counts)}"


def _calibration(figures: Figures, counts: Counts) -> str:
    note = "" if counts.early >= ENOUGH_EARLY else f" (not checked: only {counts.early} early readmissions)"
    return f"calibration slope {figures.calibration.slope:.2f}, error {figures.calibration.ece:.3f}{note}"


def _miscalibrated(challenger: Contender, figures: Figures, counts: Counts) -> Verdict | None:
    found = miscalibration(figures, counts.early)
    if not found:
        return None
    return _refused(f"{challenger}: {'; '.join(found)}", "miscalibrated", _metrics(figures, counts))


def _metrics(figures: Figures, counts: Counts) -> dict[str, Any]:
    return {"challenger": figures.as_json(), "test": asdict(counts)}


def _promoted(reason: str, code: Code, metrics: dict[str, Any]) -> Verdict:
    return Verdict(True, reason, code, metrics)


def _refused(reason: str, code: Code, metrics: dict[str, Any] | None = None) -> Verdict:
    return Verdict(False, reason, code, metrics or {})
