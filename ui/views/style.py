"""CSS and JavaScript beyond Streamlit's theme: the risk card, phone widths, and texts that Streamlit has in English."""

from typing import Final

STYLE: Final = """<style>
.block-container { padding-top: 3.2rem; padding-bottom: 4rem; max-width: 1180px; }
.risk { border: 1px solid #D5DDE3; border-radius: 0.5rem; padding: 1.1rem 1.3rem 1rem; background: #F8FAFB; }
.risk p { margin: 0; }
.risk-name { color: #4A5A66; font-size: 0.95rem; }
.risk-line { display: flex; align-items: center; gap: 0.9rem; flex-wrap: wrap; }
.risk-figure { font-size: 3.4rem; font-weight: 650; line-height: 1.2; letter-spacing: -0.02em; }
.risk-band { border: 2px solid; border-radius: 2rem; padding: 0.1rem 0.8rem; font-weight: 600; white-space: nowrap; }
.risk-note { color: #33424D; }
.risk .risk-change { margin-top: 0.6rem; padding-top: 0.6rem; border-top: 1px solid #D5DDE3; font-weight: 600; }
.scale { position: relative; margin: 0.6rem 0 0.5rem; padding-top: 0.55rem; }
.scale-bands { display: flex; height: 0.6rem; border-radius: 0.3rem; overflow: hidden; gap: 2px; }
.scale-mark { position: absolute; top: 0; width: 3px; height: 1.65rem; margin-left: -1.5px; background: #1D2A35;
  border-radius: 2px; }
.scale-ends { position: relative; height: 1.3rem; margin-top: 0.45rem; font-size: 0.75rem; color: #4A5A66; }
.scale-ends span { position: absolute; transform: translateX(-50%); }
.scale-ends span:first-child { transform: none; }
.scale-ends span:last-child { transform: translateX(-100%); }
.st-key-answer { scroll-margin-top: 4.5rem; }
/* Streamlit writes captions with 60 % opacity, which has too little contrast. */
.stApp [data-testid="stCaptionContainer"], .stApp [data-testid="stFileUploaderDropzoneInstructions"] span {
  color: #4A5A66; }
.stApp [data-testid="stCaptionContainer"], .stApp [data-testid="stCaptionContainer"] * { opacity: 1; }
[data-testid="stMetricLabel"] p { white-space: normal; overflow: visible; }
@media (max-width: 640px) {
  .block-container { padding-left: 1rem; padding-right: 1rem; }
  h1 { font-size: 1.6rem !important; }
  .risk-figure { font-size: 2.8rem; }
  [data-testid="stColumn"]:has([data-testid="stMetric"]) {
    min-width: calc(50% - 0.5rem) !important; flex: 1 1 calc(50% - 0.5rem) !important; }
}
</style>"""

# Streamlit has no setting for the uploader's own texts, which are in English.
_UPLOADER: Final = """<style>
[data-testid="stFileUploaderDropzone"] button p, [data-testid="stFileUploaderDropzoneInstructions"] span {{
  font-size: 0; }}
[data-testid="stFileUploaderDropzone"] button p::after {{ content: "{upload}"; font-size: 1rem; }}
[data-testid="stFileUploaderDropzoneInstructions"] span::after {{ content: "{limit}"; font-size: 0.875rem; }}
</style>"""

# Streamlit gives the uploader a label and the role "presentation", which excludes one. It may not be there yet.
UPLOADER_ROLE: Final = """<script>
(function name(tries) {
  const uploader = document.querySelector('[data-testid="stFileUploaderDropzone"]');
  if (uploader) uploader.setAttribute("role", "group");
  else if (tries) requestAnimationFrame(() => name(tries - 1));
})(600);
</script>"""


def uploader(upload: str, limit: str) -> str:
    """CSS that replaces the texts inside a file uploader. The texts are the pages' own, without quotation marks."""
    return _UPLOADER.format(upload=upload, limit=limit)


# The line of a picker that takes what was typed. It begins with the English word "Add".
_LOOK_UP: Final = """<style>
[data-key="__creatable__"] [data-item-hl] {{ font-size: 0; }}
[data-key="__creatable__"] [data-item-hl]::before {{ content: "{text}"; font-size: 0.875rem; }}
</style>"""

# Once for each number, and only if the element begins above the window or in its lower half.
_INTO_VIEW: Final = """<script>
if (window.readmissionShown !== {number}) {{
  window.readmissionShown = {number};
  requestAnimationFrame(() => {{
    const element = document.querySelector(".st-key-{key}");
    const top = element.getBoundingClientRect().top;
    if (top < 0 || top > window.innerHeight / 2) element.scrollIntoView({{ block: "start" }});
  }});
}}
</script>"""


def look_up(text: str) -> str:
    """CSS that replaces the text of the pickers' line for a typed value. The text is without quotation marks."""
    return _LOOK_UP.format(text=text)


def into_view(key: str, number: int) -> str:
    """JavaScript that scrolls to a container, once for each number."""
    return _INTO_VIEW.format(key=key, number=number)
