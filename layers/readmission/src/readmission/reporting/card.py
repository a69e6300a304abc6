"""The model card of a version (Mitchell et al. 2019): as Markdown, as HTML, and as a short registry description.

The card is composed once, as sections of blocks without markup, in the language of a `Wording`. Each renderer escapes
its own output.
"""

from collections.abc import Mapping
from typing import Any, Final

from readmission.registry import names
from readmission.reporting import figures, sections
from readmission.reporting.blocks import Block, Plot, Section
from readmission.reporting.facts import Decision, Facts
from readmission.reporting.markdown import render as render_markdown
from readmission.reporting.page import render as render_page
from readmission.reporting.wording import ENGLISH, Wording

DESCRIPTION_LIMIT: Final = 5000  # characters in the column of MLflow's registry
_DETAILS: Final = frozenset({"thresholds", "subgroups", "effects", "training"})  # left out of the description


def markdown(facts: Facts, evaluation: Mapping[str, Any], decision: Decision, wording: Wording = ENGLISH) -> str:
    """The whole card; plots are linked by their path in the run's artifacts."""
    return render_markdown(_card(facts, evaluation, decision, wording))


def html(facts: Facts, evaluation: Mapping[str, Any], decision: Decision, wording: Wording = ENGLISH) -> str:
    """The whole card as a page that loads nothing but its plots."""
    return render_page(_card(facts, evaluation, decision, wording), wording.language)


def description(facts: Facts, evaluation: Mapping[str, Any], decision: Decision) -> str:
    """The English card as Markdown without plots, subgroups and training details, cut to the registry's limit."""
    kept = [
        Section(section.key, section.title, [block for block in section.blocks if not isinstance(block, Plot)])
        for section in _card(facts, evaluation, decision, ENGLISH)
        if section.key not in _DETAILS
    ]
    forms = {"markdown": names.MODEL_CARD_MARKDOWN, "html": names.MODEL_CARD_HTML}
    end = f"\n{ENGLISH.text('whole_card', run=facts.run_id, **forms)}\n"
    return render_markdown(kept)[: DESCRIPTION_LIMIT - len(end)] + end


def _card(facts: Facts, evaluation: Mapping[str, Any], decision: Decision, wording: Wording) -> list[Section]:
    title = wording.text("title", name=facts.name, version=facts.number)
    contents: dict[str, list[Block]] = {
        "use": sections.intended_use(wording),
        "data": sections.data(facts, evaluation, wording),
        "metrics": figures.metrics(evaluation, wording),
        "calibration": figures.calibration(evaluation, wording),
        "thresholds": figures.thresholds(evaluation, wording),
        "subgroups": figures.subgroups(evaluation, wording),
        "effects": figures.effects(evaluation, wording),
        "limits": sections.limits(facts, wording),
        "training": sections.training(facts, wording),
    }
    overview = Section("title", title, sections.overview(facts, decision, wording))
    return [overview, *(Section(key, wording.text(key), blocks) for key, blocks in contents.items())]
