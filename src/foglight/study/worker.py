"""One run of a study in a process of its own: `python -m foglight.study.worker STUDY.yaml FOLDER NAME [SEED] [ROOT]`.

For `foglight study --jobs N`, not for people. An empty SEED is a teacher's, an empty ROOT leaves the recipes' own.
What a user can mend is one line, the last on stderr, and exit code 2.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foglight.engine.progress import Silent
from foglight.errors import EXIT_CODE, UserError
from foglight.study.fixed import read_fixed
from foglight.study.jobs import Job, do
from foglight.study.load import load_study

INTERRUPTED: Final = 130


def main(arguments: Sequence[str]) -> int:
    """Do one job and give the exit code."""
    file, folder, name, seed, root = arguments
    try:
        planned = load_study(Path(file), root=Path(root) if root else None)
        fixed = read_fixed(planned, Path(folder))
        do(Job(name, int(seed) if seed else None), planned, fixed, Path(folder), progress=Silent())
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_CODE
    except OSError as error:
        print(f"{error.filename or folder}: {error.strerror or error}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
