"""The documentation, as tests read it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_INFRA = ("local", "localstack", "prometheus", "grafana", "containers")


def pages() -> list[Path]:
    """Every Markdown file that a person reads, in the repository or on the site."""
    written = [page for page in DOCS.rglob("*.md") if "_build" not in page.parts and "generated" not in page.parts]
    others = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    return others + [ROOT / "infra" / name / "README.md" for name in _INFRA] + sorted(written)


def prose(page: Path) -> str:
    """The page without its fenced blocks: what is in them is code, and no link or heading."""
    return re.sub(r"^(```+).*?^\1$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def rows(page: Path, heading: str) -> list[list[str]]:
    """The rows of all tables below a heading, such as `## Metrics`, up to the next heading of its level."""
    level = len(heading.split()[0])
    _, found, rest = f"\n{prose(page)}".partition(f"\n{heading}\n")
    assert found, f"{page.relative_to(ROOT)} has the heading {heading!r}"
    body = re.split(rf"\n#{{1,{level}}} ", rest)[0]
    lines = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines]


def code_in(text: str) -> set[str]:
    """The texts in single backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def commands(page: Path) -> list[str]:
    """Everything on the page that is set as code: spans, indented blocks and fenced blocks of a shell."""
    plain = prose(page)
    return (
        fenced(page, "(?:bash|sh)") + re.findall(r"^    (.*)$", plain, re.MULTILINE) + re.findall(r"`([^`\n]+)`", plain)
    )


def blocks(page: Path) -> list[str]:
    """The indented blocks of the page, without the indent: each is a text of one or more lines."""
    found = re.findall(r"(?:^    .*\n)+", prose(page), re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def fenced(page: Path, language: str) -> list[str]:
    """The fenced blocks of the page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
