"""A hand-written Polars script: flat columns, window functions instead of lists."""

import json
import sys
from pathlib import Path

import clock
import numpy as np
import polars as pl

clock.imports_done()

days, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
TEXTS = ("category", "brand", "event_type")

events = (
    pl.scan_parquet(sorted(days.glob("day=*/events.parquet")), hive_partitioning=False)
    .filter(pl.col("event_type").is_in(["view", "cart", "purchase"]))
    .select("session_id", "item_id", "timestamp", pl.col("price").cast(pl.Float32), *TEXTS)
    .collect()
)
sessions = events.group_by("session_id").agg(pl.col("timestamp").min().alias("start"), pl.len().alias("length"))
sessions = sessions.filter(pl.col("length") >= 2).sort("start", "session_id").with_row_index("session")
events = events.lazy().join(sessions.lazy(), on="session_id").drop("session_id").sort("session", "timestamp").collect()
end = events["start"].max().replace(hour=0, minute=0, second=0, microsecond=0)
valid, test = (end.timestamp() - 86400 * back for back in (2, 1))
seconds = pl.col("start").dt.timestamp("ms") // 1000
events = events.with_columns(split=(seconds >= valid).cast(pl.Int8) + (seconds >= test).cast(pl.Int8))
train = events.lazy().filter(pl.col("split") == 0)
items = train.group_by("item_id").agg(pl.col("timestamp").min().alias("first_seen")).sort("first_seen", "item_id")
items = items.with_row_index("item", offset=1).collect()
values = {
    name: train.group_by(name).len().drop_nulls().sort("len", name, descending=[True, False]).select(name).collect()
    for name in TEXTS
}
position = pl.int_range(pl.len()).over("session")
plan = events.lazy().filter(pl.col("length") - position <= 20).join(items.lazy(), on="item_id", maintain_order="left")
for name, known in values.items():
    plan = plan.join(known.lazy().with_row_index(f"{name}_index", offset=4), on=name, how="left", maintain_order="left")
hour = (pl.col("timestamp").dt.timestamp("ms") // 1000 % 86400).cast(pl.Float32) * (2 * np.pi / 86400)
weekday = pl.col("timestamp").dt.weekday().cast(pl.Float32) - 1
plan = plan.select(
    "session",
    "split",
    "timestamp",
    pl.col("item").alias("item_id"),
    *(pl.when(pl.col(n).is_null()).then(1).otherwise(pl.col(f"{n}_index").fill_null(2)).cast(pl.Int32).alias(n) for n in TEXTS),
    (pl.col("price") + 1).log().alias("price"),
    ((pl.col("timestamp") - pl.col("first_seen")).dt.total_microseconds().cast(pl.Float32) / 86400e6).log1p().alias("item_age"),
    hour.sin().cast(pl.Float32).alias("hour_sin"),
    hour.cos().cast(pl.Float32).alias("hour_cos"),
    (weekday * (2 * np.pi / 7)).sin().cast(pl.Float32).alias("weekday_sin"),
    (weekday * (2 * np.pi / 7)).cos().cast(pl.Float32).alias("weekday_cos"),
)
made = plan.collect()
training = made.filter(pl.col("split") == 0)
stats = {name: (training[name].cast(pl.Float64).mean(), training[name].cast(pl.Float64).std()) for name in ("price", "item_age")}
made = made.with_columns(((pl.col(n) - mean) / std).cast(pl.Float32).alias(n) for n, (mean, std) in stats.items())

session = made["session"].to_numpy()
offsets = np.append(np.flatnonzero(np.append(True, session[1:] != session[:-1])), len(session))
np.save(out / "offsets.npy", offsets)
np.save(out / "split.npy", made["split"].to_numpy()[offsets[:-1]])
for column in made.drop("session", "split"):
    np.save(out / f"{column.name}.npy", column.to_physical().to_numpy())
sessions.select("session_id").write_parquet(out / "session_ids.parquet", compression="lz4")
items.write_parquet(out / "items.parquet", compression="lz4")
for name, known in values.items():
    known.write_parquet(out / f"{name}.parquet", compression="lz4")
(out / "stats.json").write_text(json.dumps(stats))
