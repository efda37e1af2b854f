"""How a stage or an action becomes a task here: one command line in the worker's environment. Only here.

To run the tasks in Docker or on Kubernetes instead, this is the file to change.
"""

import json
import os
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperatorLink, Param

ROOT, VAR, WORKER = (os.environ[f"NEXTCLICK_{name}"] for name in ("ROOT", "VAR", "WORKER"))
AIRFLOW = f"http://127.0.0.1:{os.environ['NEXTCLICK_AIRFLOW_PORT']}"

RUN = "{{ run_id | replace(':', '') | replace('+', '_') }}"
WORKSPACE = f"{VAR}/runs/{RUN}"
ACTOR = "{{ dag_run.triggering_user_name or 'the schedule' }}"
PYTHON = f"exec env PATH={WORKER}/bin:$PATH python -m pipelines"


class Command(BashOperator):
    """A line of shell whose last line of output is JSON: the stage's report. It, or one entry of its result, becomes the XCom."""

    def __init__(self, *, entry: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entry = entry

    @property
    def operator_extra_links(self) -> tuple[BaseOperatorLink, ...]:
        return LINKS.get(self.task_id, ())

    def execute(self, context: Any) -> Any:
        self.report: dict[str, Any] = {}
        self.report = json.loads(super().execute(context))
        return self.report["result"][self.entry] if self.entry else self.report


class Page(BaseOperatorLink):
    """A page of the run, served by the pages plugin; it is there even if the task failed or said no."""

    path = ""

    def get_link(self, operator: Command, *, ti_key: Any) -> str:
        folder = ti_key.run_id.replace(":", "").replace("+", "_")
        return f"{AIRFLOW}/pages/{folder}/{self.path}"


class DataDocs(Page):
    name = "Data Docs"
    path = "data/docs/index.html"


class Decision(Page):
    name = "Decision"
    path = "data/gate/decision.md"


class MLflow(BaseOperatorLink):
    """The run or the model version that the task's report names."""

    name = "MLflow"

    def get_link(self, operator: Command, *, ti_key: Any) -> str:
        links = operator.report.get("result", {}).get("links", {})
        return next((url for name, url in links.items() if name.startswith("MLflow")), "")


class Review(HITLOperator):
    """A person approves or rejects in Required Actions; with `gate.review: auto` the gate's yes is enough, unless `always`.

    What comes next runs either way: `review close` writes the answer down, and says no by its exit code.
    """

    APPROVE, REJECT = "Approve", "Reject"

    def __init__(self, *, always: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.always = always

    def execute(self, context: Any) -> Any:
        if not self.always and context["params"]["gate.review"] == "auto":
            self.log.info("gate.review is auto: the gate's yes is enough, nobody is asked")
            return {"chosen_options": [self.APPROVE], "params_input": {}, "responded_by_user": {"name": "auto"}}
        self.response_timeout = timedelta(hours=context["params"]["review.hours"])
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        timed_out = bool(event.get("timedout"))
        answer = super().execute_complete(context, event)
        if answer["chosen_options"] == [self.REJECT] and not timed_out and not (answer["params_input"].get("why") or "").strip():
            self.log.warning("a rejection needs a reason: the question is asked again")
            return self.execute(context)
        # the next task takes it as JSON
        return {**answer, "responded_at": str(answer["responded_at"]), "timed_out": timed_out}


LINKS: dict[str, tuple[BaseOperatorLink, ...]] = {
    "validate": (DataDocs(),),
    "train": (MLflow(),),
    "evaluate": (MLflow(),),
    "register": (MLflow(),),
    "gate": (Decision(),),
    "review_open": (MLflow(),),
    "review_close": (MLflow(),),
    "promote": (MLflow(),),
}


def action(name: str, *words: str, cwd: str = WORKSPACE, env: dict[str, str] | None = None, **kwargs: Any) -> Command:
    """An action changes a service: it always runs, and is tried again if the service was away.

    A word may name a variable of `env` ("$VERSION"): what a form was filled with is never part of a line of shell.
    """
    quoted = [f'"{word}"' if word.startswith("$") else word for word in words]
    return Command(
        task_id="_".join((name, *(word for word in words if not word.startswith("$")))),
        bash_command=" ".join((PYTHON, name, *quoted)),
        cwd=cwd,
        env={"WORKSPACE": WORKSPACE, "NEXTCLICK_ACTOR": ACTOR, **(env or {})},
        append_env=True,
        retries=1,
        retry_delay=timedelta(seconds=15),
        **{"doc_md": f"`python -m pipelines {name}`", **kwargs},
    )


def stage(name: str, **kwargs: Any) -> Command:
    """A stage goes from files to files: DVC skips it if nothing has changed."""
    return Command(task_id=name, bash_command=f"{PYTHON} repro {name}", cwd=WORKSPACE, append_env=True, env={}, **kwargs)


def stages(name: str, **kwargs: Any) -> Any:
    """One mapped task for each model, `.expand(env=...)` with MODEL in the environment."""
    return Command.partial(
        task_id=name,
        bash_command=f'{PYTHON} repro "{name}@$MODEL"',
        cwd=WORKSPACE,
        append_env=True,
        map_index_template="{{ task.env['MODEL'] }}",
        **kwargs,
    )


def review(*words: str, always: bool = False, **kwargs: Any) -> tuple[Command, Review, Command]:
    """The question is opened in the registry, asked here, and its answer written into the registry.

    words, kwargs: the version, where it is not that of this run, as `action` takes them. always: a person is asked whatever
    `gate.review` says. Nobody answers in time: the champion stays.
    """
    env = kwargs.pop("env", {})
    ask = Review(
        task_id="review",
        always=always,
        subject="Promote {{ ti.xcom_pull('review_open')['result']['subject'] }}?",
        body="{{ ti.xcom_pull('review_open')['result']['table'] }}",
        options=[Review.APPROVE, Review.REJECT],
        defaults=Review.REJECT,
        params={"why": Param(None, type=["null", "string"], title="Why", description="Kept in the registry; needed to reject.")},
    )
    given = {**env, "ANSWER": "{{ ti.xcom_pull('review') | tojson }}"}
    return action("review", "open", *words, env=env, **kwargs), ask, action("review", "close", *words, env=given, **kwargs)
