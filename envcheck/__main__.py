"""`python -m envcheck`: drop the working directory from sys.path, then start.

A stray click.py or torch.py in the working directory must not run in our process.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    here = str(Path.cwd())
    sys.path[:] = [entry for entry in sys.path if entry not in ("", here)] or sys.path
    from envcheck.cli import main

    main()
