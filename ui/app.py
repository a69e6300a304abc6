"""The application's pages, navigation and language: `make ui`, or `python -m streamlit run ui/app.py`."""

from pathlib import Path

import streamlit as st

from ui import imports
from ui.texts import LANGUAGES, Texts
from ui.views import entrance, page
from ui.views.style import STYLE

_ICON = str(Path(__file__).parent / "icon.svg")
_PAGES = {
    "patient": ":material/person:",
    "patients": ":material/groups:",
    "worklist": ":material/checklist:",
    "model": ":material/verified:",
    "over_time": ":material/timeline:",
    "pipeline": ":material/account_tree:",
    "monitoring": ":material/monitoring:",
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
        st.Page(imports.page(name), title=t(f"{name}.nav"), icon=icon, url_path=name, default=name == "patient")
        for name, icon in _PAGES.items()
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
    imports.rest(tuple(_PAGES))


main()
