import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["scipy.sparse", "torch"])
def test_what_is_hidden_while_nvtabular_is_imported_is_there_afterwards(name: str) -> None:
    order = f"import pipelines.etl.compat, {name}" if name == "torch" else f"import {name}, pipelines.etl.compat"
    code = f"import sys; {order}; assert sys.modules['{name}'] is {name}; from scipy import sparse; sparse.eye(2)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nvtabular_alone_does_not_bring_torch() -> None:
    code = "import sys, pipelines.etl.workflow; assert not {'torch', 'scipy', 'tensorflow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
