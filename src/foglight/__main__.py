"""`python -m foglight` is `foglight`."""

from foglight.cli import main

main()
