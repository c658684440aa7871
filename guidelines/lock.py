"""Release new guideline files: `python -m guidelines.lock`.

Adds the hashes of new files to `lock.json`; changes none that is there.
"""

import sys
from pathlib import Path

from guidelines.errors import BadInput
from guidelines.released import ROOT, write_lock


def main(root: Path = ROOT) -> int:
    """Write the lock, say what was added, and return the exit status (2: a release changed)."""
    try:
        added = write_lock(root)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    for path in added:
        print(f"added {path}")
    print(f"{len(added)} new files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
