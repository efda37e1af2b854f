"""The DAG files as Airflow reads them, in Airflow's own environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipelines.stores.settings import settings

ROOT = Path(__file__).resolve().parents[2]
ORCHESTRATOR = settings().venv / "orchestrator" / "bin" / "python"

READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
dags = {}
for dag in bag.dags.values():
    tasks = [task["__var"] for task in DagSerialization.to_dict(dag)["dag"]["tasks"]]
    dags[dag.dag_id] = {
        "order": [task.task_id for task in dag.topological_sort()],
        "pools": {task.task_id: task.pool for task in dag.tasks},
        "up": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
        "params": {key: dag.params.get_param(key).schema for key in dag.params},
        "lines": {task.task_id: task.bash_command for task in dag.tasks if hasattr(task, "bash_command")},
        "links": {task["task_id"]: task.get("_operator_extra_links") for task in tasks},
        "schedule": getattr(dag.timetable, "expression", None), "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
        "timetable": DagSerialization.to_dict(dag)["dag"]["timetable"],
    }
print("\\n" + json.dumps({"errors": bag.import_errors, "dags": dags}, default=str))
"""


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    rows = [{"version": 2, "label": "2: gru4rec, gate yes"}, {"version": 1, "label": "1: sasrec, gate no"}]
    (home / "versions.json").write_text(json.dumps(rows))
    settings_of_the_platform = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT / "dags"),
        "NEXTCLICK_ROOT": str(ROOT),
        "NEXTCLICK_VAR": str(home),
        "NEXTCLICK_WORKER": str(home),
        "NEXTCLICK_AIRFLOW_PORT": "8080",
    }
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **settings_of_the_platform}
    command = [str(ORCHESTRATOR), "-c", READ, str(ROOT / "dags")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_every_dag_file_can_be_read(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {"retrain", "promote", "rollback", "override"}


def test_retrain_is_the_sentence(bag: dict[str, Any]) -> None:
    order = bag["dags"]["retrain"]["order"]
    sentence = ["workspace", "events", "validate", "etl", "train", "evaluate", "register", "gate", "review_open", "review"]
    sentence += ["review_close", "promote"]
    assert [task for task in order if task in sentence] == sentence
    assert bag["dags"]["retrain"]["up"]["gate"] == ["evaluate_champion", "register"]


def test_gpu_tasks_take_the_pool(bag: dict[str, Any]) -> None:
    pools = bag["dags"]["retrain"]["pools"]
    assert {task for task, pool in pools.items() if pool == "gpu"} == {"train", "evaluate", "evaluate_champion"}


def test_retrain_runs_daily_one_at_a_time_and_never_for_the_past(bag: dict[str, Any]) -> None:
    retrain = bag["dags"]["retrain"]
    assert (retrain["schedule"], retrain["catchup"], retrain["max_active_runs"]) == ("0 5 * * *", False, 1)
    late_s = retrain["timetable"]["__var"]["run_immediately"]
    assert late_s == 0  # by default a timetable that is unpaused within 2.4 hours after 05:00 runs at once


def test_the_form_has_a_typed_field_for_every_setting(bag: dict[str, Any]) -> None:
    from pipelines import params
    from pipelines.workspace import overrides

    fields = bag["dags"]["retrain"]["params"]
    settings = overrides.dotted(params.read(ROOT / "params.yaml"))
    objects = [key for key, schema in fields.items() if schema["type"] == "object"]
    assert {key for key in settings if not key.startswith(tuple(objects))} == set(fields) - set(objects)
    assert fields["split.valid_days"] | {"title": "", "section": ""} == {
        "title": "",
        "section": "",
        "type": "integer",
        "exclusiveMinimum": 0,
    }
    assert "days" in fields["split.by"]["enum"]
    assert "gru4rec" in fields["models"]["examples"]


def test_no_field_blocks_the_trigger_button(bag: dict[str, Any]) -> None:
    for key, schema in bag["dags"]["retrain"]["params"].items():
        assert schema.get("type"), f"{key} has no type"


def test_links_lead_to_docs_runs_and_decision(bag: dict[str, Any]) -> None:
    links = bag["dags"]["retrain"]["links"]
    assert "Data Docs" in links["validate"]
    assert "MLflow" in links["train"]
    assert "Decision" in links["gate"]


def test_promote_goes_the_same_way_as_retrain_ends(bag: dict[str, Any]) -> None:
    assert bag["dags"]["promote"]["order"] == ["review_open", "review", "review_close", "promote"]
    assert bag["dags"]["retrain"]["up"]["promote"] == ["review_close"]


def test_the_form_lists_the_versions(bag: dict[str, Any]) -> None:
    version = bag["dags"]["promote"]["params"]["version"]
    assert version["enum"] == [2, 1]
    assert version["values_display"] == {"2": "2: gru4rec, gate yes", "1": "1: sasrec, gate no"}
    assert bag["dags"]["override"]["params"]["reason"]["minLength"] == 10


def test_what_a_person_types_is_never_part_of_a_line_of_shell(bag: dict[str, Any]) -> None:
    lines = {task: line for dag in bag["dags"].values() for task, line in dag["lines"].items()}
    assert lines["override"].endswith('override "$VERSION" "$REASON"')
    assert not [line for line in lines.values() if "params" in line]
