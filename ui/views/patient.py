"""One patient: the form, the forecast with its explanation, and what-if controls."""

from functools import partial
from html import escape
from typing import Any

import streamlit as st
from readmission.client import ApiProblem, Contribution, Prediction
from readmission.domain.features import DOSED

from ui import palette
from ui.services import diagnoses, patients
from ui.texts import Texts
from ui.views import page, style

_PREFIX = "patient_"
_SUGGESTED = 8  # codes that a typed text may mean
_ALSO = 4  # codes of ICD-10-CM beside one that was taken
_SHOWN = 8  # contributions in the chart; the table has all
_NUMBERS = {  # largest values that the form accepts: above any real stay
    "time_in_hospital": 60,
    "num_lab_procedures": 200,
    "num_procedures": 30,
    "num_medications": 120,
    "number_outpatient": 100,
    "number_emergency": 100,
    "number_inpatient": 100,
    "number_diagnoses": 30,
}
_LARGEST_NUMBER = 2**53 - 1  # that a browser can hold
_SIGNS = {"low": "●", "moderate": "◆", "high": "▲", "very high": "▲▲"}


def show() -> None:
    t = page.texts()
    page.heading(t, "patient")
    for name, value in patients.DEFAULTS.items():
        st.session_state.setdefault(_PREFIX + name, value)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(t("patient.examples"), width="content")
        for name in patients.EXAMPLES:
            st.button(t(f"patient.example.{name}"), key=f"example_{name}", on_click=_take_example, args=(name,))
    st.html(style.look_up(t("patient.look_up")))
    form, answer = st.columns([11, 10], gap="large")
    # The answer renders first, so that it does not wait for the form.
    with answer, st.container(key="answer"), page.explained(t):
        _answer(t)
    if number := st.session_state.get("asked_number"):
        st.html(style.into_view("answer", number), unsafe_allow_javascript=True)
    with form, st.container(border=True):
        _form(t)
        st.button(t("patient.submit"), type="primary", on_click=_take_form, width="stretch")


def _take_example(name: str) -> None:
    for field, value in patients.EXAMPLES[name].items():
        st.session_state[_PREFIX + field] = value
    _take_form()


def _take_form() -> None:
    for name in patients.DIAGNOSES:
        _look_up(name)
    st.session_state["asked"] = {name: st.session_state[_PREFIX + name] for name in patients.DEFAULTS}
    # The what-if controls are reset for every patient.
    st.session_state["asked_number"] = st.session_state.get("asked_number", 0) + 1


# ---------------------------------------------------------------- the form
# A fragment, not `st.form`, whose fields are unknown until it is submitted: a typed diagnosis is looked up at once.
@st.fragment
def _form(t: Texts) -> None:
    st.header(t("patient.form"), anchor=False)
    left, right = st.columns(2)
    with left:
        _choice(t, "age_numeric", patients.AGES)
    with right:
        _number(t, "time_in_hospital")
    _choice(t, "discharge_disposition_id", patients.DISCHARGES, help=t("patient.help.discharge"))
    _diagnosis(t, "diag_1")
    left, right = st.columns(2)
    with left:
        _diagnosis(t, "diag_2")
    with right:
        _diagnosis(t, "diag_3")
    chosen = [value for name in patients.DIAGNOSES if (value := st.session_state[_PREFIX + name])]
    if len({diagnoses.version(one) for one in chosen if diagnoses.taken(one)}) > 1:
        st.caption(t("patient.diagnosis_mixed"))
    for name in ("a1cresult_encoded", "max_glu_serum_encoded"):
        st.segmented_control(
            t(f"field.{name}"),
            range(4),
            format_func=partial(t.choice, name),
            key=_PREFIX + name,
            required=True,
            persist_state="session",
        )
    st.markdown(f"**{t('patient.year_before')}**")
    visits = ("number_inpatient", "number_emergency", "number_outpatient")
    for column, name in zip(st.columns(len(visits), vertical_alignment="bottom"), visits, strict=True):
        with column:
            _number(t, name)
    _more(t)


def _more(t: Texts) -> None:
    with st.expander(t("patient.stay")):
        left, right = st.columns(2)
        with left:
            _choice(t, "admission_type_id", patients.ADMISSION_TYPES)
            _choice(t, "admission_source_id", patients.ADMISSION_SOURCES)
            _choice(t, "medical_specialty", patients.SPECIALTIES)
            _number(t, "number_diagnoses")
        with right:
            _number(t, "num_lab_procedures")
            _number(t, "num_procedures")
            _number(t, "num_medications")
    with st.expander(t("patient.drugs")):
        left, right = st.columns(2)
        for index, name in enumerate(DOSED):
            with right if index % 2 else left:
                _choice(t, name, patients.DOSES, "dose")
        with left:
            st.number_input(
                t("field.other_drugs"),
                0,
                patients.OTHER_DRUGS,
                key=_PREFIX + "other_drugs",
                persist_state="session",
            )
        st.checkbox(t("field.change_encoded"), key=_PREFIX + "medication_changed", persist_state="session")
    with st.expander(t("patient.history")):
        st.caption(t("patient.help.history"))
        _whose(t)
        for name in patients.HISTORY:
            st.number_input(
                t(f"field.{name}"),
                0,
                1000,
                value=None,
                step=1,
                key=_PREFIX + name,
                placeholder=t("common.unknown"),
                persist_state="session",
            )


def _whose(t: Texts) -> None:
    """Whose stay it is, for the look-up of the history."""
    columns = dict(zip(patients.WHOSE, st.columns(len(patients.WHOSE), vertical_alignment="bottom"), strict=True))
    for name in ("patient_nbr", "encounter_id"):
        with columns[name]:
            st.number_input(
                t(f"field.{name}"),
                1,
                _LARGEST_NUMBER,
                value=None,
                step=1,
                key=_PREFIX + name,
                placeholder=t("common.unknown"),
                persist_state="session",
            )
    with columns["site"]:
        st.text_input(
            t("field.site"), max_chars=40, key=_PREFIX + "site", placeholder="default", persist_state="session"
        )


def _choice(t: Texts, name: str, options: tuple[Any, ...], choices: str | None = None, help: str | None = None) -> None:
    st.selectbox(
        t(f"field.{name}"),
        options,
        format_func=lambda value: t.choice(choices or name, value),
        key=_PREFIX + name,
        help=help,
        persist_state="session",
    )


def _number(t: Texts, name: str) -> None:
    st.number_input(t(f"field.{name}"), 0, _NUMBERS[name], step=1, key=_PREFIX + name, persist_state="session")


def _diagnosis(t: Texts, name: str) -> None:
    key = _PREFIX + name
    options = list(diagnoses.names(t.language))
    chosen = _look_up(name)
    if chosen and chosen not in options and diagnoses.taken(chosen):
        options.insert(0, chosen)  # a typed code of more digits than those in the list, or of ICD-10-CM
    st.selectbox(
        t(f"field.{name}"),
        options,
        index=None,
        format_func=t.diagnosis,
        key=key,
        placeholder=t("patient.diagnosis"),
        help=t("patient.help.diagnosis"),
        accept_new_options=True,
        filter_mode="contains",
        persist_state="session",
    )
    if chosen and not diagnoses.taken(chosen):
        _unclear(t, name, chosen)
    elif chosen and diagnoses.version(chosen) == "icd10":
        read = t.diagnosis(diagnoses.read_as(chosen))
        st.caption(t("patient.diagnosis_read", code=t.diagnosis(chosen), read=read))
    elif chosen:
        if chosen not in diagnoses.names(t.language):
            st.caption(t.diagnosis(chosen))  # the picker shows a typed code without its name
        _either(t, name, chosen)


def _look_up(name: str) -> str | None:
    """The field's text, with the code in place of a text that was typed instead of chosen and can only mean one."""
    text: str | None = st.session_state[_PREFIX + name]
    if text:
        code = diagnoses.taken(text)
        found = [code] if code else diagnoses.find(text, page.texts().language) or diagnoses.find_icd10(text)
        if len(found) == 1 and found[0] != text:
            st.session_state[f"named_{name}"] = (found[0], text)
            st.session_state[_PREFIX + name] = text = found[0]
    return text


def _unclear(t: Texts, name: str, typed: str) -> None:
    """Why the typed text is not taken, or the codes that it may mean."""
    text = typed.replace("`", "'")[:40]
    found = diagnoses.find(typed, t.language)
    if found:
        _suggest(t, name, typed, t("patient.diagnosis_several", text=text), found[:_SUGGESTED])
    if _suggest_icd10(t, name, typed) or found:
        return
    if diagnoses.is_icd10(typed):
        st.error(t("patient.diagnosis_icd10", text=text))
    elif unusable := diagnoses.unusable(typed):
        st.error(t("patient.diagnosis_unusable", text=text, codes="; ".join(unusable[:_SUGGESTED])))
    else:
        st.error(t("patient.diagnosis_unknown", text=text))


def _either(t: Texts, name: str, code: str) -> None:
    """Offers the ICD-10-CM codes that could be meant: the same code, or codes of the same name."""
    if other := diagnoses.as_icd10(code):
        _suggest(t, name, code, t("patient.diagnosis_either", text=code), [other])
    found, typed = st.session_state.get(f"named_{name}", (None, ""))
    if found == code:
        _suggest_icd10(t, name, typed, _ALSO)


def _suggest_icd10(t: Texts, name: str, typed: str, most: int = _SUGGESTED) -> bool:
    """Offers the ICD-10-CM codes of a name, and returns whether there are any."""
    found = diagnoses.find_icd10(typed)
    if found:
        text, shown = typed.replace("`", "'")[:40], found[:most]
        label = t("patient.diagnosis_several_icd10", text=text, shown=len(shown), count=t.number(len(found)))
        _suggest(t, name, f"icd10_{typed}", label, shown)
    return bool(found)


def _suggest(t: Texts, name: str, typed: str, label: str, codes: list[str]) -> None:
    key = f"suggested_{name}_{typed}"
    short = partial(t.diagnosis, versioned=False)  # the label says the version
    st.pills(label, codes, format_func=short, key=key, on_change=_take_suggestion, args=(name, key))


def _take_suggestion(name: str, key: str) -> None:
    st.session_state[_PREFIX + name] = st.session_state[key]


# ---------------------------------------------------------------- the answer
@st.fragment
def _answer(t: Texts) -> None:
    asked: dict[str, Any] | None = st.session_state.get("asked")
    if asked is None:
        st.info(t("patient.empty"), icon=":material/info:")
        return
    if wrong := [name for name in patients.DIAGNOSES if asked[name] and not diagnoses.taken(asked[name])]:
        page.problem(t, "diagnosis", fields=", ".join(t(f"field.{name}") for name in wrong))
        return
    with page.explained(t):
        top = st.container()
        changed = _what_if(t, asked)
        as_asked = _forecast(asked)
        forecast = _forecast(asked | changed) if changed else as_asked
        with top:
            _risk(t, forecast, as_asked if changed else None)
            _history(t, forecast, asked)
        _details(t, forecast, asked | changed)


def _what_if(t: Texts, asked: dict[str, Any]) -> dict[str, Any]:
    """The fields changed by the what-if controls."""
    number = st.session_state["asked_number"]
    found: dict[str, Any] = {}
    with st.container(border=True):
        st.header(t("patient.what_if"), anchor=False, help=t("patient.help.what_if"))
        left, right = st.columns(2)
        sliders = {"number_inpatient": 10, "time_in_hospital": 14, "num_medications": 40}
        for index, (name, largest) in enumerate(sliders.items()):
            with right if index % 2 else left:
                most = max(largest, asked[name])
                found[name] = st.slider(t(f"field.{name}"), 0, most, asked[name], key=f"whatif_{number}_{name}")
        with right:
            found["a1cresult_encoded"] = st.select_slider(
                t("field.a1cresult_encoded"),
                range(4),
                asked["a1cresult_encoded"],
                format_func=lambda value: t.choice("a1cresult_encoded", value),
                key=f"whatif_{number}_a1c",
            )
        found["discharge_disposition_id"] = st.selectbox(
            t("field.discharge_disposition_id"),
            patients.DISCHARGES,
            patients.DISCHARGES.index(asked["discharge_disposition_id"]),
            format_func=lambda value: t.choice("discharge_disposition_id", value),
            key=f"whatif_{number}_discharge",
        )
    return {name: value for name, value in found.items() if value != asked[name]}


def _forecast(values: dict[str, Any]) -> Prediction:
    """The forecast, with its explanation if the model supports it. Raises ApiProblem or ApiUnreachable."""
    fields = patients.encounter(values)
    try:
        return page.gateway().predict(fields, explain=True)
    except ApiProblem as error:
        if error.status != 409:
            raise
        return page.gateway().predict(fields)


def _risk(t: Texts, forecast: Prediction, as_asked: Prediction | None) -> None:
    """The risk, its band, and its rank among the training patients."""
    page.synthetic(t, forecast["data_kind"])
    risk = forecast["early_risk"]
    band, percentile = risk["band"], risk["percentile"]
    parts = [
        f'<p class="risk-name">{escape(t("patient.risk"))}</p>',
        f'<p class="risk-line"><span class="risk-figure">{t.percent(risk["probability"])}</span>',
    ]
    if band is not None and percentile is not None:
        sentence = t("patient.percentile", share=t.number(percentile))
        name = escape(t(f"band.{band}"))
        parts += [
            f'<span class="risk-band" style="border-color:{palette.BANDS[band]}">'
            f'<span aria-hidden="true" style="color:{palette.BANDS[band]}">{_SIGNS[band]}</span> {name}</span></p>',
            _scale(t, percentile, band),
            f'<p class="risk-note">{escape(sentence)}</p>',
        ]
    else:
        parts += ["</p>", f'<p class="risk-note">{escape(t("patient.no_percentile"))}</p>']
    if as_asked is not None:
        before = as_asked["early_risk"]["probability"]
        points = t.signed(100 * (risk["probability"] - before), 1)
        parts.append(
            f'<p class="risk-change">{escape(t("patient.change", before=t.percent(before), points=points))}</p>'
        )
    st.html(f'<div class="risk" role="status">{"".join(parts)}</div>')


def _scale(t: Texts, percentile: float, band: str) -> str:
    """A bar of 100 training patients in four bands, with a mark at this patient's rank."""
    widths = {"low": 50, "moderate": 30, "high": 10, "very high": 10}
    colors = "".join(
        f'<span style="width:{width}%;background:{palette.BANDS[name]};opacity:{1 if name == band else 0.35}"></span>'
        for name, width in widths.items()
    )
    marks = "".join(f'<span style="left:{at}%">{at}</span>' for at in (0, 50, 80, 90, 100))
    label = escape(t("patient.scale", share=t.number(percentile), band=t(f"band.{band}")))
    return (
        f'<div class="scale" role="img" aria-label="{label}"><div class="scale-bands">{colors}</div>'
        f'<span class="scale-mark" style="left:{percentile:.1f}%"></span><div class="scale-ends">{marks}</div></div>'
    )


def _history(t: Texts, forecast: Prediction, asked: dict[str, Any]) -> None:
    """What the look-up of the patient's earlier stays found, if the form names a patient and has no history itself."""
    if asked["patient_nbr"] is None or any(asked[name] is not None for name in patients.HISTORY):
        return
    found = forecast.get("history")
    if found is None:
        st.caption(t("patient.history_off"))
        return
    match found["status"]:
        case "found":
            st.caption(t("patient.history_found", count=t.number(found["earlier_stays"] or 0)))
        case "not found":
            st.caption(t("patient.history_not_found"))
        case _:
            st.warning(t("patient.history_unavailable"))
            return
    if found["stays"] == "all known":
        st.caption(t("patient.history_all"))


def _details(t: Texts, forecast: Prediction, values: dict[str, Any]) -> None:
    from ui import charts  # not at the top: the form does without

    st.header(t("patient.probabilities"), anchor=False)
    rows = [
        {"name": t(f"class.{name}"), "share": share, "text": t.percent(share), "color": palette.CLASSES[name]}
        for name in palette.CLASSES
        if (share := forecast["probabilities"][name]) is not None
    ]
    summary = "; ".join(f"{row['name']}: {row['text']}" for row in rows)
    page.chart(t, charts.bars(rows), f"{t('patient.probabilities')}. {summary}")
    if explanation := forecast.get("explanation"):
        chosen = {name: values[name] for name in patients.DIAGNOSES if values[name]}
        _explanation(t, explanation["contributions"], patients.encounter(values) | chosen)
    else:
        st.caption(t("patient.no_explanation"))
    st.caption(t("patient.answered_by", version=forecast["model_version"], kind=t(f"kind.{forecast['data_kind']}")))


def _explanation(t: Texts, contributions: list[Contribution], fields: dict[str, Any]) -> None:
    from ui import charts

    st.header(t("patient.why"), anchor=False, help=t("patient.help.why"))
    found = [one for one in contributions if one["direction"] != "none"]
    rows: list[dict[str, Any]] = [
        {
            "name": t(f"field.{one['field']}"),
            "given": t.value(one["field"], fields[one["field"]])
            if one["field"] in fields
            else t("patient.history_looked_up"),
            "value": one["contribution"],
            "direction": t(f"direction.{one['direction']}"),
            "effect": t.signed(one["contribution"], 2),
        }
        for one in found
    ]
    if not rows:
        st.caption(t("patient.nothing_differs"))
        return
    shown = [
        {
            "name": f"{_short(row['name'])}|{_short(row['given'])}",
            "value": row["value"],
            "text": row["effect"],
            "color": palette.VERMILION if row["value"] > 0 else palette.BLUE,
        }
        for row in rows[:_SHOWN]
    ]
    st.caption(t("patient.sides"))
    summary = "; ".join(f"{row['name']}: {row['given']} ({row['direction']} {row['effect']})" for row in rows[:_SHOWN])
    page.chart(t, charts.contributions(shown), f"{t('patient.why')}. {summary}")
    table = [
        {
            t("column.field"): row["name"],
            t("column.value"): row["given"],
            t("column.direction"): row["direction"],
            t("column.log_odds"): row["value"],
        }
        for row in rows
    ]
    page.as_table(t, table, t("patient.why"), {t("column.log_odds"): lambda value: t.signed(value, 3)})


def _short(text: str) -> str:
    """Shortened to fit next to a bar."""
    text = text.replace("|", "/")
    return text if len(text) <= 30 else text[:29].rstrip() + "…"
