"""A hand-written pandas and numpy script: flat columns and offsets, vectorised, no lists."""

import json
import sys
from pathlib import Path

import clock
import numpy as np
import pandas as pd

clock.imports_done()

days, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
TEXTS = ["category", "brand", "event_type"]
CODED = ["session_id", *TEXTS]
COLUMNS = ["session_id", "item_id", "timestamp", "price", *TEXTS]

parts = [
    pd.read_parquet(file, columns=COLUMNS, partitioning=None, read_dictionary=CODED)
    for file in sorted(days.glob("day=*/*.parquet"))
]
texts = {name: pd.api.types.union_categoricals([part[name] for part in parts]) for name in CODED}
events = pd.concat([part.drop(columns=CODED) for part in parts], ignore_index=True)
del parts
keep = np.isin(texts["event_type"].codes, texts["event_type"].categories.get_indexer(["view", "cart", "purchase"]))
codes = {name: values.codes[keep].astype(np.int32) for name, values in texts.items()}
events = events[keep]
session, session_ids = codes.pop("session_id"), texts["session_id"].categories
time = events["timestamp"].astype("int64").to_numpy()  # microseconds, as in the files
item, price = events["item_id"].to_numpy(), events["price"].to_numpy(np.float32)
del events

length = np.bincount(session)
start = np.full(len(length), np.iinfo(np.int64).max)
np.minimum.at(start, session, time)
rank = np.empty(len(start), np.int64)
rank[np.argsort(start, kind="stable")] = np.arange(len(start))
order = np.argsort(time, kind="stable") if (time[1:] < time[:-1]).any() else np.arange(len(time))
order = order[np.argsort(rank[session[order]], kind="stable")]
order = order[length[session[order]] >= 2]
session, time, item, price = rank[session[order]], time[order], item[order], price[order]
codes = {name: code[order] for name, code in codes.items()}
offsets = np.append(np.flatnonzero(np.append(True, session[1:] != session[:-1])), len(session))
DAY = 86_400_000_000
day = time[offsets[:-1]] // DAY
split = (day >= day.max() - 2).astype(np.int8) + (day >= day.max() - 1)
split_of = np.repeat(split, np.diff(offsets))

item_code, item_ids = pd.factorize(item)
first_seen = np.full(len(item_ids), np.iinfo(np.int64).max)
np.minimum.at(first_seen, item_code[split_of == 0], time[split_of == 0])
last = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(time)) <= 20
session, time, item_code, price, split_of = session[last], time[last], item_code[last], price[last], split_of[last]
offsets = np.append(0, np.cumsum(np.minimum(np.diff(offsets), 20)))
made = {"item_id": (item_code + 1).astype(np.int32), "timestamp": time}
train = split_of == 0
for name in TEXTS:
    code = codes[name][last]
    counts = np.bincount(code[train] + 1, minlength=len(texts[name].categories) + 1)[1:]
    order = np.argsort(-counts, kind="stable")
    table = np.full(len(counts) + 1, 2, np.int32)
    table[order + 1] = np.where(counts[order] > 0, np.arange(4, len(counts) + 4), 2)
    table[0] = 1
    made[name] = table[code + 1]
    pd.DataFrame({name: texts[name].categories[order]}).to_parquet(out / f"{name}.parquet", compression="lz4")
made["price"] = np.log(price + 1)
made["item_age"] = np.log1p(((time - first_seen[item_code]) / DAY).astype(np.float32))
stats = {}
for name in ("price", "item_age"):
    stats[name] = (float(made[name][train].mean(dtype=np.float64)), float(made[name][train].std(dtype=np.float64, ddof=1)))
    made[name] = ((made[name] - stats[name][0]) / stats[name][1]).astype(np.float32)
second = time // 1_000_000
hour = (second % 86_400).astype(np.float32) * np.float32(2 * np.pi / 86_400)
weekday = ((second // 86_400 + 3) % 7).astype(np.float32) * np.float32(2 * np.pi / 7)
made |= {"hour_sin": np.sin(hour), "hour_cos": np.cos(hour), "weekday_sin": np.sin(weekday), "weekday_cos": np.cos(weekday)}
for name, values in made.items():
    np.save(out / f"{name}.npy", values)
np.save(out / "offsets.npy", offsets)
np.save(out / "split.npy", split)
ordered = np.empty(len(rank), object)
ordered[rank] = session_ids.to_numpy()
pd.DataFrame({"session_id": ordered[np.unique(session)]}).to_parquet(out / "session_ids.parquet", compression="lz4")
pd.DataFrame({"item_id": item_ids}).to_parquet(out / "items.parquet", compression="lz4")
(out / "stats.json").write_text(json.dumps(stats))
