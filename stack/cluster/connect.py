"""Kafka Connect: one worker with Debezium, the Iceberg sink and our transforms."""

from include.settings import ROOT, settings
from stack.cluster.fetch import KAFKA, PLUGINS
from stack.cluster.java import java17
from stack.layout import STATE


def command() -> list[str]:
    return ["/bin/sh", str(ROOT / "deploy" / "connect" / "start.sh")]


def environment() -> dict[str, str]:
    return {
        "JAVA_HOME": str(java17()),
        "KAFKA_JARS": str(KAFKA.folder),
        "KAFKA_BROKERS": settings.kafka_brokers,
        "CONNECT_MEMORY": settings.cluster.connect_memory,
        "CONNECT_BIND": settings.host,
        "CONNECT_HOST": settings.host,
        "CONNECT_PORT": str(settings.port("connect")),
        "CONNECT_PLUGINS": ",".join(str(plugin.folder) for plugin in PLUGINS),
        "CONNECT_SECRETS": str(settings.secrets_dir.resolve()),
        "CONNECT_RUN": str(STATE.resolve() / "connect"),
    }
