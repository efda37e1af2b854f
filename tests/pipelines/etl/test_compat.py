import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["scipy.fftpack", "torch"])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_hidden_while_nvtabular_is_imported_is_there_otherwise(name: str, first: bool) -> None:
    order = (name, "pipelines.etl.compat") if first else ("pipelines.etl.compat", name)
    code = f"import sys; import {order[0]}; import {order[1]}; assert sys.modules['{name}'] is {name}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nvtabular_does_not_bring_torch() -> None:
    code = "import sys, pipelines.etl.workflow; assert not {'torch', 'tensorflow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
