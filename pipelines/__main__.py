"""`python -m pipelines STAGE [MODEL]`: run one stage or action in the current directory."""

import sys

from pipelines.stage import main

raise SystemExit(main(sys.argv[1:]))
