"""The one place that names a dataset, so that what one job writes and the next one reads is the same node.

Everything here speaks in our own short URIs; `dataset` turns one into OpenLineage's pair.

    postgres://fieldops/public.well_tests        a table of a source system
    inbox://flow_computer/hourly                 a kind of partner file
    spool://ot/segments                          what the recorder of the OT mirror sealed
    opcua://field_scada/history                  what an OPC UA server remembers
    iceberg://raw/fieldops__well_tests           a table of the lakehouse (also the URI of the Airflow asset)
    report://energypack/permian                  the close reports of a calendar
    workspace://energypack/stg_fieldops__wells   a model as one close built it; without the run, which is OpenLineage's
"""

from typing import NamedTuple

from include.catalog import Feed, Source, Table
from include.errors import DeclarationError
from include.settings import settings


class DatasetName(NamedTuple):
    """OpenLineage's identity of a dataset."""

    namespace: str
    name: str


def dataset(uri: str) -> DatasetName:
    """The OpenLineage name of one of our URIs.

    >>> dataset("iceberg://raw/fieldops__wells")
    DatasetName(namespace='iceberg://lakehouse', name='raw.fieldops__wells')
    """
    scheme, _, rest = uri.partition("://")
    place, _, name = rest.partition("/")
    if not place or not name:
        raise DeclarationError(f"{uri!r} is not a dataset; write scheme://place/name")
    match scheme:
        case "iceberg":
            return DatasetName(f"iceberg://{settings.warehouse}", f"{place}.{name}")
        case "workspace":
            return DatasetName(f"workspace://{place}", name)
        case "inbox":
            return DatasetName("file://inbox", f"{place}/{name}")
        case "spool":
            return DatasetName("file://spool", f"{place}/{name}")
        case "opcua":
            return DatasetName(f"opcua://{place}", name)
        case "report":
            return DatasetName("file://reports", f"{place}/{name}")
        case "postgres":
            return DatasetName(f"postgres://{settings.postgres_host}:{settings.port('postgres')}", f"{place}.{name}")
        case _:
            raise DeclarationError(f"{uri!r}: no dataset has the scheme {scheme!r}")


def source_uri(source: Source, table: Table) -> str:
    """The table in its source system."""
    return f"postgres://{source.connector}/{table.schema}.{table.name}"


def feed_uri(feed: Feed) -> str:
    """The partner files of one kind."""
    return f"inbox://{feed.source}/{feed.name}"


def raw_uri(identifier: str) -> str:
    """The change log of one source table or feed."""
    return f"iceberg://raw/{identifier}"


def model_uri(pack: str, model: str) -> str:
    """A dbt model in the workspace of a close."""
    return f"workspace://{pack}/{model}"


def mart_uri(pack: str, mart: str) -> str:
    """A published mart."""
    return f"iceberg://{pack}/{mart}"
