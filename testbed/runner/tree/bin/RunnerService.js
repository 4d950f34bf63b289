"""Start the service's supervisor of the listener.

This is Python in spite of its name, which runsvc.sh expects.
"""

import sys

sys.dont_write_bytecode = True

from standin.service import main

sys.exit(main())
