"""The layer rule holds: import-linter's contracts, the same that `make check` runs."""

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]


def test_import_contracts(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=".importlinter", cache_dir=None) == EXIT_STATUS_SUCCESS
