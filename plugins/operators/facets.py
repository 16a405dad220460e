"""From our URIs and results to OpenLineage's datasets and facets."""

from collections.abc import Iterable, Mapping

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    data_quality_assertions_dataset,
    output_statistics_output_dataset,
)

from include.lineage.naming import dataset


def input_dataset(uri: str, *, assertions: Iterable[Mapping]) -> InputDataset:
    """A dataset that a task read, with what a gate found in it."""
    found = [
        data_quality_assertions_dataset.Assertion(
            assertion=a["expectation"],
            success=bool(a["success"]),
            column=a.get("column") or None,
            severity="error" if a.get("severity") == "critical" else "warn",
            expected=_text(a.get("bound")),
            actual=_text(a.get("observed")),
        )
        for a in assertions
    ]
    facets = {}
    if found:
        facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            assertions=found
        )
    return InputDataset(*dataset(uri), inputFacets=facets)


def output_dataset(uri: str, *, of: Iterable[str] | None, columns: Mapping, rows: int | None) -> OutputDataset:
    """A dataset that a task wrote. `of` and `columns` become its column lineage."""
    facets, statistics = {}, {}
    if of is not None:
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            fields={
                column: column_lineage_dataset.Fields(inputFields=[_field(source, name) for source, name in origins])
                for column, origins in columns.items()
            },
            dataset=[_field(source, "") for source in of],
        )
    if rows is not None:
        statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=rows
        )
    return OutputDataset(*dataset(uri), facets=facets, outputFacets=statistics)


def _field(uri: str, column: str) -> column_lineage_dataset.InputField:
    return column_lineage_dataset.InputField(*dataset(uri), field=column)


def _text(value) -> str | None:
    return None if value is None else str(value)
