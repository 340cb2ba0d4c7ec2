"""`python -m kindred.cli` is `kindred`, for where the script is not on the path."""

from kindred.cli import main

raise SystemExit(main())
