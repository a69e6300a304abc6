import sys

from infra.local.commands.cli import main

sys.exit(main())
