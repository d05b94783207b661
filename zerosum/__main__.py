"""`python -m zerosum`: the command line."""

from zerosum.cli import main

raise SystemExit(main())
