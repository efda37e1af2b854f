"""Pages of the runs, read-only, beside Airflow's own: Data Docs and the decision that a reviewer reads.

    /pages/<run>/data/docs/...    Great Expectations' Data Docs
    /pages/<run>/data/gate/...    decision.md as a page, and its plots

Files come from these two folders of NEXTCLICK_VAR/runs/<run>/ and from nowhere else, whatever a path says.
A page holds text from raw events: the browser is told to treat it as a stranger to Airflow's own pages.
Runs in the orchestrator's environment, inside Airflow's api server; whoever reaches that port may read.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from markdown_it import MarkdownIt

SHOWN = {  # folder of a run -> endings of the files that are shown
    "docs": {".html", ".css", ".js", ".json", ".png", ".svg", ".ico", ".woff", ".woff2", ".ttf"},
    "gate": {".md", ".png"},
}
HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-popups",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
FONTS = {".woff", ".woff2", ".ttf"}

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ border: 1px solid #ccc; padding: .3rem .7rem; text-align: left; }}
th {{ background: #f3f3f3; }}
code, pre {{ background: #f6f6f6; }}
img {{ max-width: 100%; }}
</style>
{body}</html>"""

app = FastAPI(title="pages of the runs", docs_url=None, redoc_url=None, openapi_url=None)


def locate(run: str, part: str, path: str) -> Path:
    """The file or folder meant. 404 for what is not there and for what is not shown, without a difference."""
    if "\0" in run + path:
        raise HTTPException(404, "no such page")
    runs = (Path(os.environ["NEXTCLICK_VAR"]) / "runs").resolve()
    base = runs / run / "data" / part
    found = (base / path).resolve()
    if part in SHOWN and base.resolve() == base and found.is_relative_to(base) and found.exists():
        return found
    raise HTTPException(404, "no such page")


@app.get("/{run}/data/{part}")
@app.get("/{run}/data/{part}/{path:path}")
def page(request: Request, run: str, part: str, path: str = "") -> Response:
    """One file; a folder's index.html; a Markdown file as a page."""
    found = locate(run, part, path)
    if found.is_dir():
        if not request.url.path.endswith("/"):
            return RedirectResponse(f"{request.url.path}/")
        found = locate(run, part, f"{path}/index.html" if path else "index.html")
    if found.suffix not in SHOWN[part] or not found.is_file():
        raise HTTPException(404, "no such page")
    if found.suffix == ".md":
        body = MarkdownIt("commonmark", {"html": False}).enable("table").render(found.read_text(encoding="utf-8"))
        return HTMLResponse(PAGE.format(title=found.stem, body=body), headers=HEADERS)
    allow = {"Access-Control-Allow-Origin": "*"} if found.suffix in FONTS else {}
    return FileResponse(found, headers=HEADERS | allow)


class Pages(AirflowPlugin):  # type: ignore[misc]  # Airflow is not installed where mypy runs
    """Mounts the application on Airflow's api server."""

    name = "pages"
    fastapi_apps = [{"app": app, "url_prefix": "/pages", "name": "pages of the runs"}]  # noqa: RUF012
