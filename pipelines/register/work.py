"""The action itself: choose, export, compare, pack, register, rehearse."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import Any

import numpy as np
import polars as pl
import torch

from pipelines import params
from pipelines.errors import DataError, ServiceError
from pipelines.paths import ETL, EVALUATE, PARAMS, REGISTER, TRAIN
from pipelines.register import card, choose, columns, export, lineage, plots, sample
from pipelines.register.params import RegisterParams, ServeParams
from pipelines.register.rehearse import rehearse
from pipelines.stage import Report
from pipelines.stores import manifest, registry, sessions, tracking, weights
from pipelines.stores.answers import INPUT, OUTPUTS, Answers, Graph, Request, differences, fit, join, parts, take, write_golden
from pipelines.stores.registry import Version

PACKAGE = REGISTER / "package"
VERSION = REGISTER / "version.json"


def work(register: RegisterParams, serve: ServeParams) -> Report:
    """See the package's docstring."""
    models: list[str] = params.read()["models"]
    name, valid = choose.best(models, register.candidates)
    print(f"{name} is the best of {len(valid)} on the validation sessions: MRR@20 {valid[name]:.4f}", flush=True)
    run_id = str(sessions.read_json(TRAIN / name / "run.json")["mlflow_run_id"])
    vocabulary = pl.read_parquet(ETL / "vocabulary.parquet")
    model = weights.load(TRAIN / name)
    learned = weights.read_card(TRAIN / name).columns
    meanings = {column: learned[column] for column in model.columns_to_score(model.config)}
    data = sessions.load(torch.device("cpu"), columns.inputs_from(meanings))
    asked = sample.requests(data, vocabulary, register.check_sessions, meanings)

    shutil.rmtree(REGISTER, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    items = pl.read_parquet(ETL / "items.parquet") if columns.of_items(meanings) else None
    served = export.served(model, vocabulary, register.num_answers, meanings, serve, items)
    export.export(served, PACKAGE / "model.onnx")
    graph = Graph(PACKAGE / "model.onnx")
    request = fit(asked, graph.widths)
    apart = compare(served, graph, request)
    print(f"graph and torch agree on {len(request[INPUT]):,} test sessions, largest difference {apart:.1g}", flush=True)
    tested = metrics(models)
    text = pack(name, run_id, served, graph, request, tested, valid, apart, register)
    version, is_new = registered(name, run_id, text)
    print(f"version {version.version} of {version.model}{'' if is_new else ' (registered before)'}: {version.url}", flush=True)

    rehearsal = rehearse(PACKAGE, request, register.rehearsal_requests, REGISTER / "champion")
    measured = tracking.flat({"rehearsal": rehearsal.record()})
    registry.tag(version.version, {key: str(value) for key, value in measured.items() if value is not None})
    found = {
        "model": version.model,
        "version": version.version,
        "run_id": run_id,
        "mlflow_url": version.url,
        "name": name,
        "graph": {"sessions": len(request[INPUT]), "difference": apart},
        "rehearsal": rehearsal.record(),
    }
    VERSION.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    notes = [f"graph and torch agree within {apart:.1g} on {len(request[INPUT]):,} sessions"]
    if rehearsal.p95_ms is None:
        notes.append(f"not rehearsed: {rehearsal.why}; the gate will refuse")
    else:
        notes.append(
            f"in Triton: p50 {rehearsal.p50_ms:.1f} ms, p95 {rehearsal.p95_ms:.1f} ms; {rehearsal.parity_wrong} of "
            f"{rehearsal.parity_sessions:,} sessions answered unlike the file"
        )
    return Report(
        read={"models": len(valid), "test sessions": len(request[INPUT])},
        wrote={"files of the package": len(version.hashes), "versions": int(is_new)},
        notes=notes,
        result={
            "name": name,
            "version": version.version,
            "url": version.url,
            "summary": f"version {version.version} of {version.model}: {name}, valid MRR@20 {valid[name]:.4f}",
            "links": {"MLflow version": version.url},
        },
    )


def compare(served: export.Served, graph: Graph, request: Request) -> float:
    """Largest difference between graph and torch. DataError if a session is answered differently."""
    with torch.inference_mode():
        given = [served(**{name: torch.from_numpy(values) for name, values in part.items()}) for part in parts(request)]
    expected = join([Answers(*(values.numpy() for values in part)) for part in given])
    wrong, apart = differences(expected, graph.ask(request))
    if wrong.any():
        where = f"{int(wrong.sum())} of {len(wrong)} test sessions, largest difference of a score {apart:.3g}"
        raise DataError("the ONNX graph does not answer as the model does", where, "see tests/pipelines/register/test_export.py")
    return apart


def metrics(models: list[str]) -> dict[str, dict[str, Any]]:
    """Metrics of every model on the test sessions. The champion is the gate's business: it may still be evaluated now."""
    return {name: sessions.read_json(EVALUATE / name / "metrics.json") for name in models}


def pack(
    name: str,
    run_id: str,
    served: export.Served,
    graph: Graph,
    request: Request,
    tested: dict[str, dict[str, Any]],
    valid: dict[str, float],
    apart: float,
    register: RegisterParams,
) -> str:
    """Everything beside the graph; returns the card."""
    for file in (weights.WEIGHTS, weights.CARD):
        shutil.copyfile(TRAIN / name / file, PACKAGE / file)
    shutil.copyfile(ETL / "vocabulary.parquet", PACKAGE / "vocabulary.parquet")
    shutil.copyfile(PARAMS, PACKAGE / PARAMS.name)
    (PACKAGE / "data.json").write_text(json.dumps(lineage.data_summary(), indent=2) + "\n", encoding="utf-8")
    length, answers = graph.length, register.num_answers
    (PACKAGE / "config.pbtxt").write_text(
        export.config(graph.widths, answers, {"model_kind": name, "mlflow_run": run_id}), encoding="utf-8"
    )
    few = take(request, slice(-1000, None))
    golden = sample.golden(few, graph.ask(few), served.popular_ids[:-1].numpy(), served.serve.max_denied)
    write_golden(PACKAGE / "golden.json", golden, graph.ask(golden))
    first, last = lineage.days()
    summary = sessions.read_json(ETL / "summary.json")
    facts = {
        "Data": f"sessions from {first} to {last} (UTC): {', '.join(f'{n:,} {part}' for part, n in summary['sessions'].items())}",
        "Items": f"{served.model.features.num_items:,}",
        "Parameters": f"{sum(value.numel() for value in served.model.state_dict().values()):,} numbers",
        "Asked with": ", ".join(graph.inputs),
        "Columns beside the item": ", ".join(served.columns.meanings) or "none",
        "Session": f"the {length} most recent events; {answers} answers",
        "Graph": f"equal to torch within {apart:.1g} on {len(request[INPUT]):,} test sessions",
    }
    text = card.write(name, served.model.config.model_dump(mode="json"), valid, tested, facts)
    (PACKAGE / "card.md").write_text(text, encoding="utf-8")
    plots.write(PACKAGE / "plots", name, TRAIN / name / "history.csv", tested, EVALUATE / name / "ranks.parquet")
    outputs = [
        (OUTPUTS[0], np.int64, (-1, answers)),
        (OUTPUTS[1], np.float32, (-1, answers)),
        (OUTPUTS[2], np.bool_, (-1, 1)),
    ]
    inputs = [(name, np.int64, (-1, width)) for name, width in graph.widths.items()]
    registry.write_mlmodel(PACKAGE, run_id, take(request, slice(2)), inputs, outputs)
    manifest.write(PACKAGE)
    return text


def registered(name: str, run_id: str, text: str) -> tuple[Version, bool]:
    """The version of this package: a new one, or the one that an earlier try of this task made."""
    files = {
        file: value for file, value in manifest.hashes(PACKAGE).items() if file != "MLmodel" and not file.startswith("plots/")
    }
    key = hashlib.sha256(json.dumps([run_id, files], sort_keys=True).encode()).hexdigest()
    version, is_new = registry.find(key), False
    if version is None:
        version, is_new = registry.register(PACKAGE, run_id, text, lineage.tags(name), key), True
    else:
        registry.fetch(version, PACKAGE)
    registry.move(registry.CHALLENGER, version.version)
    if (seen := registry.resolve(registry.CHALLENGER)) is None or seen.version != version.version:
        raise ServiceError("the alias challenger did not move", version.url, "another run registers at the same time; run again")
    return version, is_new
