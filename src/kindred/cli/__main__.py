"""`python -m kindred.cli` runs `kindred`, for use when the script is not on the path."""

from kindred.cli import main

raise SystemExit(main())
