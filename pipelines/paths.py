"""Where stages meet: the folders of a run, relative to its workspace (the current directory)."""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")

RAW = Path("data/raw")
"""Raw files as they came, or links to them."""
KNOWN = Path("data/vocabulary/known.parquet")
"""The vocabulary this run starts from (the champion's); absent on a first run."""

EVENTS = Path("data/events")
VALIDATE = Path("data/validate")
QUARANTINE = Path("data/quarantine")
DOCS = Path("data/docs")
ETL = Path("data/etl")
TRAIN = Path("data/train")
EVALUATE = Path("data/evaluate")
REGISTER = Path("data/register")
GATE = Path("data/gate")
PROMOTE = Path("data/promote")

UNREADABLE = "unreadable.json"
"""In data/train/champion, in place of the package: the champion's version and why it cannot be read."""
