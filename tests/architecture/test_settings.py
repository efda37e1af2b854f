"""Values once, types once: params.yaml, the types, dvc.yaml and params.schema.json say the same."""

import ast
from pathlib import Path

import pytest
import yaml

from models.core import registry
from pipelines import STAGES, schema, stage
from pipelines.params import Config

ROOT = Path(__file__).resolve().parents[2]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())


def test_params_yaml_fits_its_types() -> None:
    schema.check(VALUES)


def test_schema_is_fresh() -> None:
    assert (ROOT / "params.schema.json").read_text() == schema.render(), "run `make schema`"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reads_the_sections_dvc_knows(name: str) -> None:
    signature = {key for key, kind in stage.sections(stage.find(name)).items() if issubclass(kind, Config)}
    declared = {one.split(".")[0] for one in DVC[name].get("do", DVC[name])["params"]}
    assert declared - {"zoo"} == signature


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_own_code(name: str) -> None:
    assert f"pipelines/{name}" in DVC[name].get("do", DVC[name])["deps"]


def test_every_model_has_a_section() -> None:
    assert set(VALUES["zoo"]) == set(registry.names())


def test_every_setting_has_help() -> None:
    for name, field in _fields(schema.whole()):
        assert field.description or name in ("models", "zoo"), f"{name} has no docstring"


def _fields(kind: type[Config], prefix: str = ""):  # type: ignore[no-untyped-def]
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


@pytest.mark.parametrize("file", sorted((ROOT / "dags").glob("*.py")), ids=lambda file: file.name)
def test_a_dag_imports_airflow_and_nothing_of_ours(file: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert not imported & {"pipelines", "models", "infra", "torch", "pandas", "polars", "mlflow"}


def test_no_pickle_anywhere() -> None:
    for file in [
        *ROOT.glob("pipelines/**/*.py"),
        *ROOT.glob("models/**/*.py"),
        *ROOT.glob("infra/**/*.py"),
        *ROOT.glob("dags/*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not {"pickle", "cloudpickle", "joblib", "dill"} & set(names), f"{file} imports {names}"
