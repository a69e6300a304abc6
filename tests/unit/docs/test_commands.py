"""Every make command in the documentation exists, with the variables that it is given."""

import re
import subprocess

from tests.documents import DOCS, ROOT, code_in, commands, pages, rows

MAKEFILE = (ROOT / "Makefile").read_text()
DEFINITIONS = dict(re.findall(r"^([A-Z_]+) = (.*)$", MAKEFILE, re.MULTILINE))
# Each target's line and recipe.
TARGETS = {match[1]: match[0] for match in re.finditer(r"^([a-z-]+):.*##.*\n(?:\t.*\n)*", MAKEFILE, re.MULTILINE)}
COMMAND = re.compile(r"((?:[A-Z_]+=\S* )*)make (?:-s )?([a-z-]+)((?: [A-Z0-9_]+=(?:'[^']*'|[^\s#`]*))*)")
# Not in the recipes: the programs that these start read them from the environment, and make itself reads PYTHON.
ENVIRONMENT = {"DIABETES_DATA", "PROMETHEUS", "PYTHON", "HOST", "PORT"}


def variables(target: str) -> set[str]:
    recipe = TARGETS[target]
    for name, definition in DEFINITIONS.items():
        recipe = recipe.replace(f"$({name})", definition)
    return set(re.findall(r"[A-Z][A-Z0-9_]*", recipe)) | ENVIRONMENT


def test_every_make_command_is_a_target_with_those_variables() -> None:
    # The README of the emulator is about its own Makefile.
    described = [page for page in pages() if page.parent.name != "localstack"]
    found = [match.groups() for page in described for code in commands(page) for match in COMMAND.finditer(code)]
    assert {target for _, target, _ in found} <= set(TARGETS)
    for before, target, after in found:
        assert set(re.findall(r"([A-Z0-9_]+)=", before + after)) <= variables(target), target


def test_the_tables_of_commands_list_every_target_with_its_variables() -> None:
    headings = ("## Run the application", "## Observe it", "## Measure it", "## Develop it")
    listed = set()
    for row in (row for heading in headings for row in rows(DOCS / "commands.md", heading)):
        targets = re.findall(r"make (?:-s )?([a-z-]+)", " ".join(code_in(row[0])))
        listed |= set(targets)
        taken = {name for code in code_in(row[1]) for name in re.findall(r"\b([A-Z0-9_]+)=", code)}
        assert not targets or taken <= set().union(*map(variables, targets)), targets
    assert listed == set(TARGETS) - {"help", "setup"}


def test_make_help_lists_every_target() -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert {line.split()[0] for line in printed.splitlines()} == set(phony[1].split())
