"""Buckets of the object store beside the lakehouse's own: made where a setting asks for one."""

from urllib.parse import urlsplit

from include.settings import secret, settings

NESSIE = "nessie"


def wanted() -> list[str]:
    logs = settings.airflow.remote_logs
    nessie = settings.is_distributed and settings.cluster.catalog == "nessie"
    return [*([urlsplit(logs).netloc] if logs else []), *([NESSIE] if nessie else [])]


def make_buckets() -> None:
    """Make each bucket that is wanted and not there."""
    if not (names := wanted()):
        return
    from pyarrow.fs import S3FileSystem

    address = urlsplit(settings.s3_uri)
    store = S3FileSystem(
        access_key=secret("s3_access_key"),
        secret_key=secret("s3_secret_key"),
        endpoint_override=address.netloc,
        scheme=address.scheme,
        region=settings.cluster.s3_region,
        allow_bucket_creation=True,
    )
    for name in names:
        store.create_dir(name)
