"""`python -m infra.containers COMMAND`: build the images, write their bills of materials, audit their packages."""

import argparse
import sys
from collections.abc import Sequence

from infra.containers import images, supply
from infra.local.errors import LocalError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: that of `supply.audit`; else 1 for a failure that a message explains."""
    parser = argparse.ArgumentParser(prog="python -m infra.containers", description="The container images.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    building = commands.add_parser("build", help="build the images")
    building.add_argument("--only", help=f"comma-separated; default: all of {', '.join(images.TARGETS)}")
    building.add_argument("--tool", choices=images.TOOLS, help="default: the first that works")
    commands.add_parser("sbom", help="write a CycloneDX bill of materials for each image")
    commands.add_parser("audit", help="look for known vulnerabilities of the packages in the images")
    parsed = parser.parse_args(arguments)
    try:
        if parsed.command == "build":
            return _build(parser, parsed.only, parsed.tool)
        if parsed.command == "audit":
            return supply.audit()
        for file in supply.sboms():
            print(file.relative_to(images.ROOT))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _build(parser: argparse.ArgumentParser, only: str | None, given: str | None) -> int:
    targets = only.split(",") if only else images.TARGETS
    if unknown := [target for target in targets if target not in images.TARGETS]:
        parser.error(f"there is no image {', '.join(unknown)}; the images are {', '.join(images.TARGETS)}")
    builder = images.tool(given)
    for target in targets:
        images.build(target, builder)
        print(f"built {images.name(target)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
