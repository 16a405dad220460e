"""Buttons on a task of a close. Airflow stores the link when the task ends, failed or not."""

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf


def page(path: str) -> str:
    """A page of `plugins.views.evidence`, by its full address."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/hnai/{path}"


class CloseReportLink(BaseOperatorLink):
    name = "Close report"

    def get_link(self, operator, *, ti_key) -> str:
        report = getattr(operator, "report_path", None)
        return page(f"reports/{report}" if report else "")


class DataDocsLink(BaseOperatorLink):
    name = "Data Docs"

    def get_link(self, operator, *, ti_key) -> str:
        return page(f"data_docs/{getattr(operator, 'docs_path', None) or f'{operator.pack}/index.html'}")
