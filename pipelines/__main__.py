"""`python -m pipelines STAGE [MODEL]`: run one stage or action in the current directory."""

import os
import sys

from pipelines.stage import main

# Threads of torch that wait for work must not hold a core: with two tasks on two cores training was 10 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

raise SystemExit(main(sys.argv[1:]))
