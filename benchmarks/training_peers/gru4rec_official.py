"""GRU4Rec's official PyTorch code, unchanged: trained by its own `fit`, measured by its own `batch_eval` after every epoch.

`fit` tells nobody when an epoch ends, but it prints; its `print` is taken over, in its module, to stop the watch, evaluate and go
on. Evaluation draws no random number, so the training is the one of an untouched run.

job   code (checkout), train, test (its TSV files), paramfile (of the checkout) and what differs from it (settings), device,
      evaluate ("each", "last", "never"), weights (npz to write, or null)
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
sys.path.insert(0, job["code"])

import clock  # noqa: E402
import evaluation  # noqa: E402
import gru4rec_pytorch  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402

clock.imports_done()
COLUMNS = ("SessionId", "ItemId", "Time")
CUDA = job["device"].startswith("cuda")


def read(path):
    """As run.py of the code reads it."""
    return pd.read_csv(path, sep="\t", usecols=COLUMNS, dtype={"SessionId": "int32", "ItemId": "str"})


def parameters():
    """As run.py reads a parameter file."""
    place = Path(job["code"]) / "paramfiles" / job["paramfile"]
    spec = importlib.util.spec_from_file_location("paramfile", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {**module.gru4rec_params, **job["settings"]}


def synchronize():
    if CUDA:
        torch.cuda.synchronize()


def measure():
    predictions = 0
    forward = gru.model.forward

    def counted(*words, **names):
        nonlocal predictions
        scores = forward(*words, **names)
        predictions += len(scores)
        return scores

    gru.model.forward = counted
    begin = clock.now()
    recall, mrr = evaluation.batch_eval(gru, test.copy(), cutoff=[20], batch_size=512, mode="conservative")
    end = clock.now()
    del gru.model.forward
    return {
        "mrr_at_20": float(mrr[20]),
        "recall_at_20": float(recall[20]),
        "predictions": predictions,
        "test_wall_s": end[0] - begin[0],
        "test_cpu_s": end[1] - begin[1],
    }


def said(*words):
    """What `fit` prints; an epoch's line stops the watch. The first store of samples is no training: the watch begins anew."""
    global epoch, watch
    text = " ".join(map(str, words))
    sys.stderr.write(text + "\n")
    if text.startswith("Created sample store"):
        clock.say("setup", watch.stop())
        watch = clock.Watch()
    if text.startswith("Epoch") and "loss:" in text:
        synchronize()
        seconds = watch.stop()
        epoch += 1
        last = epoch == gru.n_epochs
        quality = measure() if job["evaluate"] == "each" or (job["evaluate"] == "last" and last) else {}
        clock.say("epoch", {"epoch": epoch, "loss": float(text.split("loss:")[1].split()[0]), **seconds, **quality})
        watch.start()


train, test = read(job["train"]), read(job["test"])
gru = gru4rec_pytorch.GRU4Rec(device=torch.device(job["device"]))
gru4rec_pytorch.print = lambda *words: sys.stderr.write(" ".join(map(str, words)) + "\n")
gru.set_params(**parameters())
gru4rec_pytorch.print = said
torch.manual_seed(job.get("seed", 0))
epoch = 0
watch = clock.Watch()
gru.fit(train)
if gru.error_during_train:
    raise SystemExit("the loss is no number")
if job["weights"]:
    items = gru.data_iterator.itemidmap.index.values.astype(str)
    state = {name: values.detach().cpu().numpy() for name, values in gru.model.state_dict().items()}
    np.savez(job["weights"], items=items, **state)
memory = torch.cuda.max_memory_allocated() / 2**20 if CUDA else None
clock.say(
    "done",
    {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "threads": torch.get_num_threads(),
        "peak_rss_mib": clock.peak_rss_mib(),
        "peak_gpu_mib": memory,
    },
)
