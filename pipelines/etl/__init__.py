"""etl: validated events become sessions of model columns, flat on disk.

in   data/validate/day=*/events.parquet   one row per event (pipelines.columns)
     data/vocabulary/known.parquet        the vocabulary this run starts from, if there is one
out  data/etl/columns/<name>.npy          one value per event; rows by session start, session, time
     data/etl/offsets.npy, split.npy      int64 [sessions + 1]; int8 [sessions]: 0 train, 1 valid, 2 test
     data/etl/session_ids.parquet         session, session_id, user_id, start
     data/etl/vocabulary.parquet          item_id, item_key, index, first_seen, count; an item keeps its index for ever
     data/etl/items.parquet               index, category, brand, price: as last seen, for display
     data/etl/values/<column>.parquet     the index of each value of a categorical column
     data/etl/schema.json                 what the columns are
     data/etl/summary.json                what happened to the rows, and which engine ran
     data/etl/run.json                    what differs from run to run: new items, seconds, memory

The same events give the same bytes, but for run.json; also when the vocabulary they made is known by then.
"""

from __future__ import annotations

from pipelines.etl.params import EtlParams
from pipelines.split import SplitParams
from pipelines.stage import Report


def run(etl: EtlParams, split: SplitParams) -> Report:
    from pipelines.etl.build import build

    return build(etl, split)
