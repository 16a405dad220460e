"""Kafka: one broker that is its own controller, on loopback."""

from include.settings import ROOT, settings
from stack.cluster.fetch import KAFKA
from stack.cluster.java import java17
from stack.layout import STATE


def command() -> list[str]:
    return ["/bin/sh", str(ROOT / "deploy" / "kafka" / "start.sh")]


def environment() -> dict[str, str]:
    return {
        "JAVA_HOME": str(java17()),
        "KAFKA_JARS": str(KAFKA.folder),
        "KAFKA_DATA": str(STATE.resolve() / "kafka"),
        "KAFKA_MEMORY": settings.cluster.kafka_memory,
        "KAFKA_BIND": settings.host,
        "KAFKA_HOST": settings.host,
        "KAFKA_PORT": str(settings.port("kafka")),
        "KAFKA_CONTROLLER_PORT": str(settings.port("kafka_controller")),
    }


def ports() -> dict[str, int]:
    return {name: settings.port(name) for name in ("kafka", "kafka_controller")}


def is_healthy() -> str | None:
    """None once the broker tells its metadata, else the reason."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    where = f"{settings.host}:{settings.port('kafka')}"
    quiet = {"log_level": 0, "error_cb": lambda _: None}
    try:
        AdminClient({"bootstrap.servers": where, **quiet}).list_topics(timeout=3)
    except KafkaException as error:
        return f"Kafka does not answer at {where}: {error.args[0].str()}"
    return None
