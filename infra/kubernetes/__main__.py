"""`python -m infra.kubernetes render OVERLAY` prints the manifests of an overlay; `check` validates those of all."""

import argparse
import sys
from collections.abc import Sequence

from infra.kubernetes import manifests
from infra.local.errors import LocalError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 when kubectl cannot render an overlay, or a release of Kubernetes would refuse a manifest."""
    parser = argparse.ArgumentParser(prog="python -m infra.kubernetes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("render").add_argument("overlay", choices=manifests.OVERLAYS)
    commands.add_parser("check")
    given = parser.parse_args(arguments)
    try:
        if given.command == "render":
            print(manifests.render(given.overlay), end="")
            return 0
        return max([_check(overlay) for overlay in manifests.OVERLAYS])
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1


def _check(overlay: str) -> int:
    found = manifests.manifests(overlay)
    lines = list(manifests.problems(found))
    for line in lines:
        print(f"{overlay}: {line}")
    if not lines:
        unknown = manifests.not_validated(found)
        known = len([manifest for manifest in found if manifest["apiVersion"] not in manifests.CUSTOM])
        print(
            f"{overlay}: {known} manifests are valid for Kubernetes {' and '.join(manifests.releases())}; "
            f"not validated: {', '.join(unknown)}"
        )
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
