"""RecTools' SASRec through its public interface: `fit` with its own Lightning trainer, then `recommend` for every test prefix.

A prefix is a user of its own; its target's place in the list of 20 gives recall and MRR.

job   train, test (TSV files), settings (of SASRecModel), trainer (of Lightning's Trainer), evaluate ("last", "never"), seed
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import warnings
from pathlib import Path

import clock

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytorch_lightning  # noqa: E402
import torch  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402

clock.imports_done()
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
job = json.loads(Path(sys.argv[1]).read_text())
NAMES = {"SessionId": Columns.User, "ItemId": Columns.Item, "Time": Columns.Datetime}


def read(path):
    rows = pd.read_csv(path, sep="\t").rename(columns=NAMES)
    rows[Columns.Datetime] = pd.to_datetime(rows[Columns.Datetime], unit="s")
    return rows.assign(**{Columns.Weight: 1.0})


class Epochs(pytorch_lightning.Callback):
    """Stops the watch at the end of every epoch."""

    def on_train_start(self, trainer, module):
        clock.say("setup", watch.stop())
        self.watch = clock.Watch()

    def on_train_epoch_end(self, trainer, module):
        seconds = self.watch.stop()
        self.losses = trainer.callback_metrics.get("train_loss")
        clock.say("epoch", {"epoch": trainer.current_epoch + 1, "loss": float(self.losses), **seconds})
        self.watch.start()


def trainer():
    return pytorch_lightning.Trainer(
        accelerator="cpu" if job["device"] == "cpu" else "gpu",
        max_epochs=job["settings"]["epochs"],
        min_epochs=job["settings"]["epochs"],
        callbacks=[Epochs()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **job["trainer"],
    )


def prefixes(rows):
    """Every prefix of every test session as a user's history, and its target."""
    users, items, times, targets = [], [], [], []
    for _, session in rows.groupby(Columns.User, sort=False):
        clicks = session[Columns.Item].to_numpy()
        for end in range(1, len(clicks)):
            users.append(np.full(end, len(targets)))
            items.append(clicks[:end])
            times.append(np.arange(end))
            targets.append(clicks[end])
    table = pd.DataFrame(
        {Columns.User: np.concatenate(users), Columns.Item: np.concatenate(items), Columns.Datetime: np.concatenate(times)}
    )
    table[Columns.Datetime] = pd.to_datetime(table[Columns.Datetime], unit="s")
    return table.assign(**{Columns.Weight: 1.0}), np.array(targets)


def measure():
    histories, targets = prefixes(read(job["test"]))
    begin = clock.now()
    shown = model.recommend(np.arange(len(targets)), Dataset.construct(histories), k=20, filter_viewed=False)
    end = clock.now()
    found = shown[shown[Columns.Item].to_numpy() == targets[shown[Columns.User].to_numpy()]]
    return {
        "mrr_at_20": float((1 / found[Columns.Rank]).sum() / len(targets)),
        "recall_at_20": len(found) / len(targets),
        "predictions": len(targets),
        "test_wall_s": end[0] - begin[0],
        "test_cpu_s": end[1] - begin[1],
    }


pytorch_lightning.seed_everything(job.get("seed", 0))
model = SASRecModel(
    **job["settings"], recommend_torch_device="cpu" if job["device"] == "cpu" else "cuda", get_trainer_func=trainer
)
watch = clock.Watch()
model.fit(Dataset.construct(read(job["train"])))
quality = measure() if job["evaluate"] != "never" else {}
clock.say(
    "done",
    {
        "rectools": importlib.metadata.version("rectools"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.torch_model.parameters()),
        "peak_rss_mib": clock.peak_rss_mib(),
        **quality,
    },
)
