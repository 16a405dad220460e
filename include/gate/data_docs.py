"""Data Docs: a page per table as Great Expectations renders it, an index per run, and one per pack.

    <data_docs>/<pack>/index.html                     every run, newest first
    <data_docs>/<pack>/<run>/index.html               its gates; failures and their rows first
    <data_docs>/<pack>/<run>/<layer>/<table>.html     one table in full

The table pages are made by Great Expectations' own renderer, then cut loose from the dozen web addresses that it
loads styles, scripts and a logo from: a plant's network has no way out, and a report should not call home.
"""

import json
import os
import re
import shutil
from dataclasses import asdict
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.gate.report import Report
from include.gate.suites import LAYERS, Suite
from include.settings import settings

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

    from include.publish.freeze import Close

RUNS_LISTED = 400
FAILURES = "<!-- failures -->"  # where the failing rows go on a table's page
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bad: #b3261e; --warn: #96690a; --good: #1c7a43; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --warn: #ffca6a; --good: #7fd6a0; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 72rem; }
h1, h4.alert, .alert h3 { font-size: 1.3rem; } h2, h4, h5 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } .scroll, .table-responsive { overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bad, .text-danger { color: var(--bad); } .good, .text-success { color: var(--good); } .warn { color: var(--warn); }
small, .reason { opacity: .75; } code { font-size: .9em; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; } .badge { background: var(--soft); border-radius: .25rem; padding: 0 .3rem; }
i.text-success::before { content: "✓"; font-style: normal; } i.text-danger::before { content: "✗"; font-style: normal; }
.col-lg-2, .ge-walkthrough-modal, .cooltip, [data-toggle], .collapse { display: none; }
h5 { font-size: 1rem; } .ge-section { margin-top: 1rem; }
"""


def page(suite: Suite, validated: "ExpectationSuiteValidationResult") -> str:
    """The page of one table, rendered by Great Expectations and readable without a network."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(_brief(validated)))
    for pattern in (
        r"<(script|style)\b.*?</\1>",  # scripts that need libraries from the web, and the style that goes with them
        r"<link\b[^>]*?(https?:)?//[^>]*>|<link\b[^>]*?static/[^>]*>|<img\b[^>]*>",
        r"<nav\b.*?</nav>",
        r"<(p|div|footer)\b[^>]*>[^<]*<a[^>]*greatexpectations\.io.*?</\1>",
        r"<title>.*?</title>",
    ):
        html = re.sub(pattern, "", html, flags=re.S)
    html = re.sub(r"<!--.*?-->", "", html, flags=re.S)
    html = re.sub(r"<a\b[^>]*expectations/[^>]*>(.*?)</a>", r"\1", html, flags=re.S)  # a page that we do not make
    head = f"<title>{escape(suite.table)}</title><style>{STYLE}</style>"
    intro = f'<p><a href="../index.html">All gates of this run</a></p><h1>{escape(suite.table)}</h1>'
    intro += f"<p>{escape(suite.description)}</p>{FAILURES}"
    return re.sub(r"\n\s*\n+", "\n", html.replace("<head>", f"<head>{head}", 1).replace("<body>", f"<body>{intro}", 1))


def _brief(validated: "ExpectationSuiteValidationResult") -> "ExpectationSuiteValidationResult":
    """The same result without its complete lists of failing rows: the page shows the first few."""
    for one in validated.results:
        for name in ("unexpected_list", "unexpected_index_list", "unexpected_index_query"):
            one.result.pop(name, None)
    return validated


def site_of(close: "Close") -> Path:
    """The folder of a run's pages; its index.html exists once a gate has run."""
    return settings.data_docs_dir / close.pack / close.workspace.stem


def write_site(close: "Close", report: Report, descriptions: dict[str, str], pages: dict[str, str]) -> Path:
    """Write the layer's pages and both indexes; return the run's index."""
    site = site_of(close)
    layer = site / report.layer
    layer.mkdir(parents=True, exist_ok=True)
    found = {**asdict(report), "data_docs": "", "descriptions": descriptions, "pages": sorted(pages)}
    for table, html in pages.items():
        failed = [r for r in found["results"] if r["table"] == table and not r["success"]]
        rows = "".join(_failure(report.layer, r) for r in failed)
        _write(layer / f"{table}.html", html.replace(FAILURES, rows, 1))
    _write(layer / "report.json", json.dumps(found, default=str, ensure_ascii=False))
    layers = _layers(site)
    _write(site / "run.json", json.dumps(_summary(layers)))
    _write(site / "index.html", _run_index(layers))
    _write(site.parent / "index.html", _pack_index(site.parent))
    return site / "index.html"


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: two closes may write the pack's index at once."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _layers(site: Path) -> list[dict[str, Any]]:
    paths = (site / layer / "report.json" for layer in LAYERS)
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def _close(report: dict[str, Any]) -> str:
    return escape(f"{report['window']}@{report['calendar']}")


def _verdict(results: list[dict[str, Any]]) -> tuple[str, str]:
    """The state of some results as a class and in words."""
    failed = [r for r in results if not r["success"]]
    critical = sum(r["severity"] == "critical" and not r["accepted_by"] for r in failed)
    warned = sum(r["severity"] == "warning" and not r["accepted_by"] for r in failed)
    accepted = sum(bool(r["accepted_by"]) for r in failed)
    parts = [f"{critical} critical failed"] * (critical > 0) + [f"{warned} to read"] * (warned > 0)
    parts += [f"{accepted} accepted"] * (accepted > 0)
    return ("bad" if critical else "warn" if failed else "good"), ", ".join(parts) or f"all {len(results)} passed"


def _summary(layers: list[dict[str, Any]]) -> dict[str, str]:
    """What the pack's index says of a run."""
    first = layers[0]
    state, words = _verdict([r for layer in layers for r in layer["results"]])
    version, run_id = str(first["version"]), first["run_id"]
    return {"close": _close(first), "version": version, "state": state, "words": words, "run_id": run_id}


def _run_index(layers: list[dict[str, Any]]) -> str:
    first = layers[0]
    body = [
        f"<h1>Gates of {escape(first['pack'])} {_close(first)}, version {first['version']}</h1>",
        f'<p><small>Run <code>{escape(first["run_id"])}</code></small> · <a href="../index.html">all runs</a></p>',
    ]
    failed = [(layer["layer"], r) for layer in layers for r in layer["results"] if not r["success"]]
    failed.sort(key=lambda found: (bool(found[1]["accepted_by"]), found[1]["severity"] != "critical"))
    if failed:
        body += ["<h2>What failed</h2>", *(_failure(layer, result) for layer, result in failed)]
    for layer in layers:
        state, words = _verdict(layer["results"])
        body.append(
            f'<h2>{escape(layer["layer"])}: <span class="{state}">{words}</span></h2><div class="scroll"><table>'
        )
        body.append("<tr><th>table</th><th>verdict</th><th>what the suite says</th></tr>")
        for table in sorted({r["table"] for r in layer["results"]}):
            state, words = _verdict([r for r in layer["results"] if r["table"] == table])
            name = escape(table)
            link = f'<a href="{layer["layer"]}/{name}.html">{name}</a>' if table in layer["pages"] else name
            says = escape(layer["descriptions"].get(table, "").split("\n\n")[0])
            body.append(f'<tr><td>{link}</td><td class="{state}">{words}</td><td>{says}</td></tr>')
        body.append("</table></div>")
    return _html(f"Gates {first['window']}@{first['calendar']}", body)


def _failure(layer: str, r: dict[str, Any]) -> str:
    state = "good" if r["accepted_by"] else "bad" if r["severity"] == "critical" else "warn"
    label = f"accepted by {r['accepted_by']}: {r['accepted_why']}" if r["accepted_by"] else r["severity"]
    name = ".".join(part for part in (r["table"], r["expectation"], r["column"]) if part)
    lines = [
        f"<p><b>{escape(r['table'])}</b> {escape(r['column'] or '')} {escape(r['bound'])}: {escape(r['observed'])} "
        f'<span class="{state}">({escape(label)})</span><br><span class="reason">{escape(r["reason"])}</span><br>'
        f"<small>{escape(layer)} · <code>{escape(name)}</code></small></p>"
    ]
    if rows := r["sample_keys"]:
        names = list(rows[0])
        lines.append('<div class="scroll"><table><tr>' + "".join(f"<th>{escape(n)}</th>" for n in names) + "</tr>")
        lines += ["<tr>" + "".join(f"<td>{escape(str(row.get(n, '')))}</td>" for n in names) + "</tr>" for row in rows]
        lines.append("</table></div>")
    if (more := r["failing_rows"] - len(rows)) > 0 and rows:
        lines.append(f"<p><small>…and {more} more</small></p>")
    return "".join(lines)


def _pack_index(folder: Path) -> str:
    runs = sorted(folder.glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    body = [f"<h1>Data Docs of {escape(folder.name)}</h1>", '<div class="scroll"><table>']
    body.append("<tr><th>close</th><th>version</th><th>verdict</th><th>run</th></tr>")
    for path in runs[:RUNS_LISTED]:
        run = json.loads(path.read_text(encoding="utf-8"))
        body.append(
            f'<tr><td><a href="{path.parent.name}/index.html">{run["close"]}</a></td><td>{run["version"]}</td>'
            f'<td class="{run["state"]}">{run["words"]}</td><td><small>{escape(run["run_id"])}</small></td></tr>'
        )
    return _html(f"Data Docs of {folder.name}", [*body, "</table></div>"])


def drop_old(older_than: datetime) -> int:
    """Remove the pages of runs whose last gate ran before `older_than`; their results stay in `ops.gate_results`."""
    old = [run for run in settings.data_docs_dir.glob("*/*/run.json") if run.stat().st_mtime < older_than.timestamp()]
    for run in old:
        shutil.rmtree(run.parent)
    for folder in {run.parent.parent for run in old}:
        _write(folder / "index.html", _pack_index(folder))
    return len(old)


def _html(title: str, body: list[str]) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>"
    )
