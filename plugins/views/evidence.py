"""Close reports and Data Docs under /hnai, for whoever is logged in to Airflow and may read its DAGs.

Read only, and nothing outside the two folders. The pages hold values that partners sent, so the browser is told to
run no script of theirs, load nothing from elsewhere and send no form: what a file smuggles in cannot act as the reader.
"""

import html
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from include.settings import settings
from plugins.views.by_run import report_of

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}

app = FastAPI(title="HNAI evidence", docs_url=None, redoc_url=None, openapi_url=None)


def folders() -> dict[str, Path]:
    """What is shown, by the first part of the path."""
    return {"reports": settings.reports_dir, "data_docs": settings.data_docs_dir}


async def reader(request: Request, token: Annotated[Any, Depends(bearer_scheme)] = None):
    """The Airflow user, who must be allowed to read DAGs. A browser without a login is sent to get one."""
    try:
        user = await get_user(request, None, token)
    except HTTPException as error:
        if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
            target = quote(str(request.url.path), safe="/")
            raise HTTPException(307, headers={"Location": f"/auth/login/?next={target}"}) from None
        raise
    if not get_auth_manager().is_authorized_dag(method="GET", user=user):
        raise HTTPException(403, "Reading reports needs the right to read DAGs")
    return user


def inside(folder: Path, path: str) -> Path | None:
    """The file `path` below `folder`, or None where there is none or it would lead outside (`..`, a link)."""
    root = folder.resolve()
    try:
        found = (root / path).resolve()
    except (OSError, ValueError):
        return None
    return found if found.is_relative_to(root) and found.is_file() else None


def shown(kind: str, path: str) -> Response:
    folder = folders().get(kind)
    found = inside(folder, path) if folder else None
    if found is None:
        raise HTTPException(404, f"There is no {kind}/{path}. Has the close got so far?")
    return FileResponse(found, headers=HEADERS)


@app.get("/run/{dag_id}/{run_id:path}", dependencies=[Depends(reader)])
def of_run(dag_id: str, run_id: str) -> Response:
    """The report of one run, for the tab on Airflow's page of the run."""
    report = report_of(dag_id, run_id)
    if report is None:
        return _page(
            "No close report", "<p>This run has written no close report (yet). The last task of a close does.", 404
        )
    return shown("reports", report)


@app.get("/{kind}/{path:path}", dependencies=[Depends(reader)])
def evidence(kind: str, path: str) -> Response:
    """One page or file."""
    return shown(kind, path)


@app.get("/", dependencies=[Depends(reader)])
def overview() -> Response:
    """Every close report, newest first, and the Data Docs of every pack."""
    reports = sorted(settings.reports_dir.rglob("*.html"), key=lambda p: p.stat().st_mtime, reverse=True)
    docs = sorted(settings.data_docs_dir.glob("**/index.html"), key=lambda p: len(p.parts))
    lists = {"Close reports": _links("reports", reports[:500]), "Data Docs": _links("data_docs", docs[:20])}
    return _page("Closes", "".join(f"<h1>{title}</h1><ul>{links}</ul>" for title, links in lists.items()))


def _links(kind: str, files: list[Path]) -> str:
    names = [f.relative_to(folders()[kind]).as_posix() for f in files]
    return (
        "".join(f"<li><a href='{kind}/{quote(n)}'>{html.escape(n.removesuffix('.html'))}</a>" for n in names)
        or "<li>none yet"
    )


def _page(title: str, body: str, status: int = 200) -> Response:
    style = "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem;background:#fff}"
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{style}</style>{body}",
        status_code=status,
        headers=HEADERS,
    )
