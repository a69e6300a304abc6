"""`make load-test`: how many requests a second the deployed API sustains within its objective.

Runs in its own process, because Locust replaces the standard library's sockets and locks with gevent's.
"""

# Must come first: modules that import ssl before gevent replaces it would mix both.
import locust  # noqa: F401

# isort: split
import argparse
import os
import sys
from pathlib import Path

from infra.local import environment, settings
from infra.local.errors import LocalError
from tests.arguments import positive
from tests.load import report, target
from tests.load.capacity import Climb, Held, Objective, climb, spread
from tests.load.driver import Driver

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_UI_PORT = "8089"


def main() -> int:
    asked = _arguments()
    environment.isolate()
    known = target.find(asked.url)
    # The locustfile, which may run in another process, reads them from the environment.
    os.environ |= {"API_KEY": known.key, "API_CA": known.ca_file or "", "THINK": str(asked.think)}
    if asked.ui:
        locust = str(Path(sys.executable).with_name("locust"))
        page = ["--web-host", "127.0.0.1", "--web-port", _UI_PORT]
        os.execv(locust, [locust, "-f", str(LOCUSTFILE), "--host", known.url, *page])
    folder = asked.out or settings.load().directory / "load"
    folder.mkdir(parents=True, exist_ok=True)
    return _measure(asked, known, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--url", help="another API than the local platform's; its key comes from API_KEY")
    parser.add_argument("--ui", action="store_true", help=f"open Locust's page on http://127.0.0.1:{_UI_PORT} instead")
    parser.add_argument(
        "--p95-ms", type=float, default=100.0, help="objective: 95 %% of the answers take at most this long"
    )
    parser.add_argument(
        "--max-failures", type=int, default=0, help="objective: failures allowed at each number of users"
    )
    parser.add_argument("--step", type=positive, default=10, help="users added at each step")
    parser.add_argument("--max-users", type=positive, default=200)
    parser.add_argument(
        "--settle", type=float, default=4.0, help="seconds to settle before measuring; longer while instances start"
    )
    parser.add_argument("--hold", type=float, default=15.0, help="seconds to measure")
    parser.add_argument("--think", type=float, default=1.0, help="average seconds between a user's requests")
    parser.add_argument("--repeats", type=positive, default=3, help="number of climbs")
    parser.add_argument("--out", type=Path, help="the folder for the results (default: LOCAL_DIR/load)")
    parser.add_argument(
        "--at-least", type=float, help="exit 1 if the median result is below this many requests a second"
    )
    return parser.parse_args()


def _measure(asked: argparse.Namespace, known: target.Target, folder: Path) -> int:
    objective = Objective(asked.p95_ms, asked.max_failures)
    climbs: list[Climb] = []
    with Driver(known.url, asked.settle, asked.hold, asked.p95_ms, _tell) as driver:
        for number in range(asked.repeats):
            print(f"load        climb {number + 1} of {asked.repeats}", file=sys.stderr, flush=True)
            climbs.append(climb(driver.hold, objective, asked.step, asked.max_users))
        page = driver.html()
    (folder / "locust.html").write_text(page)
    about = report.about(known.url, objective, asked)
    print(report.write(folder, climbs, about, objective, asked.think))
    return int(asked.at_least is not None and spread(climbs).middle < asked.at_least)


def _tell(held: Held) -> None:
    line = f"{held.users:>4} users  {held.rate:6.1f}/s  p95 {held.p95:6.0f} ms  {held.failures} failed"
    print(f"            {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
