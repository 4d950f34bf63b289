"""Python in spite of its name, which runsvc.sh expects: keeps the listener of a service alive."""

import sys

sys.dont_write_bytecode = True

from standin.service import main

sys.exit(main())
