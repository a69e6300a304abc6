"""The application's pages, navigation and language: `make ui`, or `python -m streamlit run ui/app.py`."""

from pathlib import Path

import streamlit as st

from ui.texts import LANGUAGES, Texts
from ui.views import entrance, model, monitoring, over_time, page, patient, patients, pipeline, worklist
from ui.views.style import STYLE

_ICON = str(Path(__file__).parent / "icon.svg")
_PAGES = {
    "patient": (patient.show, ":material/person:"),
    "patients": (patients.show, ":material/groups:"),
    "worklist": (worklist.show, ":material/checklist:"),
    "model": (model.show, ":material/verified:"),
    "over_time": (over_time.show, ":material/timeline:"),
    "pipeline": (pipeline.show, ":material/account_tree:"),
    "monitoring": (monitoring.show, ":material/monitoring:"),
}


def main() -> None:
    # The URL sets a session's first language; after that the switch does.
    first = st.session_state.setdefault("first_lang", Texts(st.query_params.get("lang", "en")).language)
    t = page.texts()
    st.query_params["lang"] = t.language
    st.set_page_config(page_title=t("app.title"), page_icon=_ICON, layout="wide")
    st.logo(_ICON, size="large")
    st.html(STYLE)
    # Streamlit always declares English; screen readers choose their voice by this attribute.
    st.html(f'<script>document.documentElement.lang = "{t.language}"</script>', unsafe_allow_javascript=True)
    pages = [
        st.Page(show, title=t(f"{name}.nav"), icon=icon, url_path=name, default=name == "patient")
        for name, (show, icon) in _PAGES.items()
    ]
    chosen = st.navigation(pages)
    with st.sidebar:
        st.segmented_control(
            t("app.language"),
            list(LANGUAGES),
            default=first,
            required=True,
            format_func=lambda language: LANGUAGES[language],
            key="lang",
        )
        st.caption(t("app.about"))
    with page.explained(t):
        if entrance.admits(t):
            chosen.run()


main()
