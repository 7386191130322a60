"""`python -m dacbn` is the command `dacbn`."""

from dacbn.cli import main

main()
