"""Operators that say what they read and wrote, so that OpenLineage hears it from the task itself."""

from collections.abc import Iterable, Mapping

from airflow.sdk import BaseOperator

Columns = Mapping[str, Iterable[tuple[str, str]]]  # output column -> (input URI, input column)


class LineageOperator(BaseOperator):
    """Base of every operator here: `execute` calls `self.read(...)` and `self.wrote(...)` with URIs.

    URIs are those of `include.lineage.naming`. Where an output has fewer inputs than the task, `wrote` says
    so (`of`), and they go into its column lineage; else every output would seem to come from every input.
    A task that failed reports what it had read and written so far.
    """

    clear_hint = "Clear this task once the cause is gone; nothing before it needs to run again."

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._inputs: dict[str, dict] = {}
        self._outputs: dict[str, dict] = {}

    def read(self, *uris: str, assertions: Iterable[dict] = ()) -> None:
        """The task read these datasets; `assertions` are a gate's results on them."""
        for uri in uris:
            self._inputs.setdefault(uri, {"assertions": []})["assertions"].extend(assertions)

    def wrote(
        self,
        uri: str,
        *,
        of: Iterable[str] | None = None,
        columns: Columns | None = None,
        rows: int | None = None,
    ) -> None:
        """The task wrote this dataset, out of the inputs `of`: all of the task's where None, nothing where empty."""
        self._outputs[uri] = {"of": None if of is None else tuple(of), "columns": columns or {}, "rows": rows}

    def get_openlineage_facets_on_complete(self, task_instance):
        """What `execute` noted, as OpenLineage wants it; called by the provider after success and failure."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from plugins.operators.facets import input_dataset, output_dataset

        inputs = dict(self._inputs)
        for noted in self._outputs.values():
            for uri in noted["of"] or ():
                inputs.setdefault(uri, {"assertions": []})
        return OperatorLineage(
            inputs=[input_dataset(uri, **noted) for uri, noted in inputs.items()],
            outputs=[output_dataset(uri, **noted) for uri, noted in self._outputs.items()],
        )
