"""nextclick's stage etl."""

import os
import sys
from pathlib import Path

import clock

from pipelines.etl import build, workflow  # noqa: F401  workflow imports NVTabular; the stage does so late
from pipelines.etl.params import EtlParams
from pipelines.split import SplitParams

clock.imports_done()

days, out = (Path(word).resolve() for word in sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
os.chdir(out)
(out / "data").mkdir(exist_ok=True)
(out / "data" / "validate").symlink_to(days)
etl = EtlParams(
    sessions_by="id",
    inactivity_minutes=30,
    event_types=("view", "cart", "purchase"),
    deduplicate="none",
    min_item_support=1,
    min_category_support=1,
    min_session_length=2,
    max_session_length=20,
    keep_users=False,
    engine=os.environ.get("ETL_ENGINE", "cpu"),  # type: ignore[arg-type]
    streaming_events=50_000_000,
    partition_events=500_000,
    scheduler=None,
)
build.build(etl, SplitParams(by="days", valid_days=1, test_days=2, valid_share=0.1, test_share=0.1))
