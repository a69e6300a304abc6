"""What recalibration for a site means for a promotion: the rows that decide, and who else would be forecast for.

A recalibrated version has the base rates of one site. It is judged on that site's test rows, and so is whatever is to
replace it. As one version answers for all sites, it is promoted over others only if somebody has said so.
"""

from collections.abc import Collection
from dataclasses import replace

from mlflow.entities import Run

from readmission.domain.payloads import PromoteEvent
from readmission.promotion.incumbent import Incumbent
from readmission.promotion.verdict import Verdict
from readmission.registry import names


def judged_on(run: Run, incumbent: Incumbent | None, sites: Collection[str]) -> str | None:
    """The site whose test rows decide on the candidate, None if all do; `sites` are those that have rows."""
    if own := run.data.tags.get(names.RECALIBRATED_FOR):
        return own
    served = incumbent.contender.site if incumbent else ""
    return served if served in sites else None


def checked(decided: Verdict, run: Run, site: str | None, sites: Collection[str], event: PromoteEvent) -> Verdict:
    """The verdict on the rows of `site` with what it means for the others; not promoted for them unless asked to."""
    if site is None:
        return decided
    reason = f"{decided.reason}; judged on the test rows of the site {site} alone"
    metrics = decided.metrics | {"site": site}
    own = run.data.tags.get(names.RECALIBRATED_FOR)
    if own and event.get("reason"):
        reason += f"; recalibrated because: {event['reason']}"
    others = sorted(set(sites) - {site})
    if not own or not others or not decided.promoted:
        return replace(decided, reason=reason, metrics=metrics)
    named = ", ".join(others)
    if event.get("other_sites"):
        return replace(
            decided, reason=f"{reason}; forecasts for {named} have its base rates too, as asked for", metrics=metrics
        )
    refusal = (
        f"{reason}. It would also answer for {named}, with the base rates of {site}; to allow that: OTHER_SITES=1, or"
        " 'other_sites': true"
    )
    return Verdict(False, refusal, "other_sites", metrics | {"other_sites": others})
