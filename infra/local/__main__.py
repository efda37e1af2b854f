"""`python -m infra.local up|down|status|demo`: the platform on one machine."""

import importlib
import sys

from pipelines.errors import PipelineError

COMMANDS = ("up", "down", "status", "demo")

if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
    raise SystemExit(f"usage: python -m infra.local {'|'.join(COMMANDS)}")
try:
    raise SystemExit(importlib.import_module(f"infra.local.{sys.argv[1]}").main(sys.argv[2:]))
except PipelineError as error:
    print(error, file=sys.stderr)
    raise SystemExit(1) from None
except KeyboardInterrupt:
    raise SystemExit(130) from None
