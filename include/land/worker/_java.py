"""Java classes that can only be named once the virtual machine runs. Import it through `jvm.start()` alone."""

from collections.abc import Callable
from typing import Any

import jpype

_Function = jpype.JClass("java.util.function.Function")
_Collectors = jpype.JClass("java.util.stream.Collectors")
_utf8 = jpype.JClass("java.nio.charset.StandardCharsets").UTF_8


def _method_reference(owner: str, name: str, returns: str) -> Any:
    """`Owner::name` as a java.util.function.Function that runs without entering Python."""
    handles = jpype.JClass("java.lang.invoke.MethodHandles")
    kind = jpype.JClass("java.lang.invoke.MethodType").methodType(jpype.JClass(returns).class_)
    handle = handles.publicLookup().findVirtual(jpype.JClass(owner).class_, name, kind)
    return jpype.JClass("java.lang.invoke.MethodHandleProxies").asInterfaceInstance(_Function.class_, handle)


_value = _method_reference("io.debezium.engine.ChangeEvent", "value", "java.lang.Object")


@jpype.JImplements("io.debezium.engine.DebeziumEngine$ChangeConsumer")
class _BatchConsumer:
    def __init__(self, consume: Callable[[bytes, Callable[[int], None]], None]) -> None:
        self._consume = consume

    @jpype.JOverride
    def handleBatch(self, records: Any, committer: Any) -> None:
        joined = records.stream().map(_value).collect(_Collectors.joining("\n"))

        def mark(line: int) -> None:
            committer.markProcessed(records.get(line))
            committer.markBatchFinished()

        self._consume(bytes(memoryview(joined.getBytes(_utf8))), mark)

    @jpype.JOverride
    def supportsTombstoneEvents(self) -> bool:
        return False


def batch_consumer(consume: Callable[[bytes, Callable[[int], None]], None]) -> Any:
    """A ChangeConsumer that hands each batch over as JSON lines."""
    return _BatchConsumer(consume)
