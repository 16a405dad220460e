"""The one plugin of the platform: registers timetable, links, listener and the views of reports and Data Docs."""

from airflow.plugins_manager import AirflowPlugin

from plugins.listeners import pools
from plugins.operators.links import CloseReportLink, DataDocsLink
from plugins.timetables.period import PeriodTimetable


async def evidence(scope, receive, send) -> None:
    """The web application of `plugins.views.evidence`, imported when the first page is asked for.

    Every process of Airflow loads this file, each task included; only the web server needs FastAPI.
    """
    from plugins.views.evidence import app

    await app(scope, receive, send)


class HnaiPlugin(AirflowPlugin):
    name = "hnai"
    timetables = [PeriodTimetable]
    operator_extra_links = [CloseReportLink(), DataDocsLink()]
    listeners = [pools]
    fastapi_apps = [{"app": evidence, "url_prefix": "/hnai", "name": "Close reports and Data Docs"}]
    external_views = [
        {"name": "Closes", "href": "hnai/", "destination": "nav", "url_route": "closes", "category": "browse"},
        {
            "name": "Close report",
            "href": "hnai/run/{DAG_ID}/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "close-report",
        },
    ]
