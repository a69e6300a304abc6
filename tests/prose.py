"""Looks for phrases that read as translated: `python -m tests.prose` prints each with its file and line, and exits 1.

Reads every text file that git tracks, except data, lock files, generated JSON and the Spanish texts.
"""

import re
import subprocess
import sys
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHRASES = Path(__file__).with_name("phrases.toml")
READ = {".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
READ_NAMES = {"Makefile"}
NOT_READ = {PHRASES, ROOT / "ui" / "texts" / "es.toml", ROOT / "tests" / "unit" / "test_prose.py"}


@dataclass(frozen=True)
class Phrase:
    avoid: re.Pattern[str]
    write: str


def phrases() -> list[Phrase]:
    listed = tomllib.loads(PHRASES.read_text())["phrase"]
    return [Phrase(re.compile(one["avoid"], re.IGNORECASE), one["write"]) for one in listed]


def find(text: str, known: Sequence[Phrase]) -> Iterator[tuple[int, str, str]]:
    """The line (from 1), the words found and what to write instead. A phrase may be wrapped over two lines."""
    lines = [line.strip().removeprefix("#").removeprefix("--").lstrip() for line in text.splitlines()]
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    joined = " ".join(lines)
    for phrase in known:
        for match in phrase.avoid.finditer(joined):
            yield bisect_right(starts, match.start()), match[0], phrase.write


def files() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if (path.suffix in READ or path.name in READ_NAMES) and path not in NOT_READ and path.exists():
            yield path


def main() -> int:
    known = phrases()
    found = [(path, *one) for path in files() for one in find(path.read_text(), known)]
    for path, line, words, write in found:
        print(f"{path.relative_to(ROOT)}:{line}: {words!r}: write {write}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
