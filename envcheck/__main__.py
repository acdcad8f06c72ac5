"""`python -m envcheck`: drop the working directory from sys.path, then start.

A stray click.py or torch.py in the working directory must not run in our process.
"""

import os
import sys

if __name__ == "__main__":
    here = os.getcwd()
    sys.path[:] = [entry for entry in sys.path if entry not in ("", here)] or sys.path
    from envcheck.cli import main

    main()
