"""``python -m tinyae`` is the command ``tinyae``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
