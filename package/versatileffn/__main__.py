"""`python -m versatileffn`: the command `versatileffn`."""

import sys

from versatileffn.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
