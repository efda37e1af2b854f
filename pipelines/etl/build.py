"""The steps of etl in order, each timed and counted."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.columns import ITEM, SESSION, TIME, USER
from pipelines.etl import events, files, sessionize, vocabulary
from pipelines.etl.engine import Engine, choose
from pipelines.etl.events import Events
from pipelines.etl.params import EtlParams
from pipelines.etl.sessionize import FIRST, INDEX
from pipelines.paths import ETL
from pipelines.split import NAMES, TEST, VALID, SplitParams, assign, check, resolve
from pipelines.stage import Report

Array = npt.NDArray[Any]


@dataclass
class Log:
    """What is counted and timed on the way; each step is printed as it ends."""

    dropped: dict[str, int] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)
    before_unseen: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begin, 3)
        print(f"etl: {name} {self.seconds[name]:.1f} s", flush=True)


@dataclass
class Sessions:
    """rows: INDEX, TIME, PRICE, coded columns, by session; of each session owners (SESSION, USER) and parts (its split)."""

    rows: pl.DataFrame
    owners: pl.DataFrame
    offsets: Array
    parts: Array
    vocabulary: pl.DataFrame
    new_items: int
    split_by: str

    def events_of(self, part: int) -> int:
        return int(np.diff(self.offsets)[self.parts == part].sum())


def build(etl: EtlParams, split: SplitParams) -> Report:
    """See the package's docstring."""
    engine, log = choose(etl), Log()
    with log.step("read"):
        read = events.read(etl, engine)
        log.dropped |= read.dropped
    with log.step("sessionize"):
        sessions = _sessions(read, etl, split, engine, log)
    summary = _summary(sessions, read, log)
    with log.step("write"):
        files.empty_folder()
        files.write_sessions(sessions.rows, sessions.owners, sessions.offsets, sessions.parts, sessions.vocabulary, read)
    texts = {name: read.texts[name].to_list() for name in events.CODED}
    first_seen = _by_index(sessions.vocabulary[vocabulary.FIRST_SEEN].to_physical())
    longest, new_items = int(np.diff(sessions.offsets).max()), sessions.new_items
    del sessions, read  # memory, before NVTabular takes some
    with log.step("import nvtabular"):
        from pipelines.etl import workflow
    with log.step("workflow"):
        total, training = summary["rows"]["out"], summary["events"]["train"]
        gpu = engine.gpu and not _noted(engine, workflow.gpu_lacks())
        engine.ran["workflow"] = f"nvtabular {'gpu' if gpu else 'cpu'}" + (f", dask at {etl.scheduler}" if etl.scheduler else "")
        where = workflow.Columns((ETL / "work").resolve(), (ETL / "columns").resolve(), total, gpu)
        fitted = workflow.make(where, training, etl.partition_events, texts, first_seen, etl.min_category_support, etl.scheduler)
    return _finish(summary, new_items, workflow.describe(fitted, summary["num_items"]), fitted, longest, engine, log)


def _noted(engine: Engine, lacks: str) -> str:
    if lacks:
        engine.note(f"NVTabular runs in its CPU mode on this GPU machine: {lacks}")
    return lacks


def _sessions(read: Events, etl: EtlParams, split: SplitParams, engine: Engine, log: Log) -> Sessions:
    """Sorted, without repeats, cut, split, looked up in the grown vocabulary, long enough and not too long."""
    assigned, log.dropped["no_session"] = sessionize.assign(read.frame, etl, len(read.texts.get(SESSION, ())))
    assigned = sessionize.with_first(assigned)
    before, plan = assigned.height, sessionize.distinct(sessionize.ordered(assigned.lazy()), etl.deduplicate)
    frame = engine.collect(plan, "sort", events=before)
    log.dropped["repeat"], before = before - frame.height, frame.height
    frame = engine.collect(sessionize.long_enough(frame.lazy(), etl.min_session_length), "cut", events=before)
    log.dropped["short_session"] = before - frame.height

    begins = _begins(frame)
    starts = frame[TIME].to_numpy()[begins]
    split = resolve(starts, split)
    parts = assign(starts, split)
    edges = np.append(begins, frame.height)[np.searchsorted(parts, range(len(NAMES) + 1))]  # first row of each part
    known, keys = vocabulary.read_known(), events.item_keys(events.days())
    words = vocabulary.grow(known, frame.lazy().select(ITEM, TIME).head(int(edges[VALID])), keys, etl)
    index = engine.collect(sessionize.look_up(frame.lazy(), words.lazy()), "look up")[INDEX]
    missing = index.is_null().to_numpy()
    for part, name in enumerate(NAMES):
        rows = missing[edges[part] : edges[part + 1]]
        log.unseen[name], log.before_unseen[name] = int(rows.sum()), len(rows)
    log.dropped["low_support"] = log.unseen.pop("train")
    log.dropped["unseen_item"] = sum(log.unseen.values())

    firsts = frame[FIRST].to_numpy()[edges[[VALID, TEST]]]
    frame = frame.drop(ITEM).with_columns(index)
    if missing.any():
        frame = frame.filter(~pl.Series(missing))
    lengths = np.diff(np.append(_begins(frame), frame.height))
    short = lengths < etl.min_session_length
    log.dropped["short_session"] += int(lengths[short].sum())
    log.dropped["before_last"] = int((lengths[~short] - etl.max_session_length).clip(0).sum())
    plan = sessionize.long_enough(frame.lazy(), etl.min_session_length, etl.max_session_length)
    frame = engine.collect(plan, "limit", events=frame.height)
    begins = _begins(frame)
    parts = np.searchsorted(firsts, frame[FIRST].to_numpy()[begins], side="right").astype(np.int8)
    check(parts, frame[TIME].to_numpy()[begins], split, "after items outside the vocabulary and short sessions were dropped")
    training = frame[INDEX].to_numpy()[: int(np.searchsorted(frame[FIRST].to_numpy(), firsts[0]))]
    counts = np.bincount(training, minlength=words.height + 1)[1:]
    words = words.with_columns(pl.Series(vocabulary.COUNT, counts, pl.Int64))
    offsets = np.append(begins, frame.height).astype(np.int64)
    owners = assigned.select(name for name in (SESSION, USER) if name in assigned.columns)[frame[FIRST].to_numpy()[begins]]
    return Sessions(frame.drop(FIRST), owners, offsets, parts, words, words.height - known.height, split.by)


def _begins(frame: pl.DataFrame) -> Array:
    """Row of each session's first event."""
    first = frame[FIRST].to_numpy()
    return np.flatnonzero(np.append(True, first[1:] != first[:-1])) if len(first) else np.zeros(0, np.int64)


def _by_index(values: pl.Series) -> Array:
    """An array that is addressed by item index; position 0 is padding."""
    return np.append(0, values.to_numpy())


def _summary(sessions: Sessions, read: Events, log: Log) -> dict[str, Any]:
    rows = {"in": read.rows, "out": sessions.rows.height}
    assert rows["in"] == rows["out"] + sum(log.dropped.values()), (rows, log.dropped)
    return {
        "rows": rows,
        "dropped": {reason: count for reason, count in log.dropped.items() if count},
        "split_by": sessions.split_by,
        "sessions": {name: int((sessions.parts == part).sum()) for part, name in enumerate(NAMES)},
        "events": {name: sessions.events_of(part) for part, name in enumerate(NAMES)},
        "num_items": sessions.vocabulary.height,
        **{f"{name}_events": log.before_unseen[name] for name in ("valid", "test")},
        **{f"unseen_{name}_events": log.unseen[name] for name in ("valid", "test")},
    }


def _finish(
    summary: dict[str, Any], new_items: int, columns: dict[str, Any], fitted: Any, longest: int, engine: Engine, log: Log
) -> Report:
    """schema.json, the values of categorical columns, summary.json, run.json."""
    for name in fitted.kept:
        files.write_values(name, fitted.kept[name], fitted.rare[name])
    files.remove_work()
    schema = {
        "num_items": summary["num_items"],
        "events": summary["rows"]["out"],
        "sessions": sum(summary["sessions"].values()),
        "max_session_length": longest,
        "columns": columns,
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    ran = {"new_items": new_items, "seconds": log.seconds, "peak_rss_mib": round(peak)}
    files.document(schema, "schema")
    files.document({**summary, "engine": engine.ran, "notes": engine.notes}, "summary")
    files.document(ran, "run")
    return Report(
        read={"events": summary["rows"]["in"]},
        wrote={
            "events": summary["rows"]["out"],
            "items": summary["num_items"],
            "new items": new_items,
            **{f"{k} sessions": v for k, v in summary["sessions"].items()},
        },
        dropped=summary["dropped"],
        notes=[*engine.notes, f"ran in: {', '.join(f'{step}: {what}' for step, what in engine.ran.items())}"],
    )
