"""The program ``python -m testbed``: start, show and stop the worlds."""

import sys

from testbed.cli import main

sys.exit(main(sys.argv[1:]))
