"""How the Iceberg catalog that the settings name is reached, and how a client proves to it who it is.

    seaweedfs   OAuth2 client credentials: the object store's own two keys
    nessie      nothing is asked; keep it on a network of its own
    rest        the secret `catalog_credential` (`client_id:client_secret`, OAuth2) or `catalog_token` (a bearer token);
                a catalog that asks for nothing needs neither

Data files are always read and written with the secrets `s3_access_key` and `s3_secret_key`: no catalog hands out keys.
"""

from include.settings import has_secret, secret, settings

LAKEHOUSE = "lakehouse"  # the name under which every engine sees the catalog


def client_properties() -> dict[str, object]:
    """What pyiceberg's REST client is opened with."""
    properties: dict[str, object] = {
        "uri": settings.iceberg_uri,
        "warehouse": settings.warehouse,
        "s3.endpoint": settings.s3_uri,
        "s3.access-key-id": secret("s3_access_key"),
        "s3.secret-access-key": secret("s3_secret_key"),
        "s3.region": settings.cluster.s3_region,
        "s3.connect-timeout": "5",
        "s3.request-timeout": "60",
    }
    if settings.cluster.catalog != "seaweedfs":
        properties["header.X-Iceberg-Access-Delegation"] = ""  # else Nessie signs requests for keys that we have
    if credential := _credential():
        client_id, client_secret = credential
        oauth2 = {"client_id": client_id, "client_secret": client_secret, "token_url": settings.catalog_token_uri}
        if settings.cluster.catalog == "rest":
            oauth2["scope"] = settings.cluster.catalog_scope
        properties["auth"] = {"type": "oauth2", "oauth2": oauth2}
    elif token := _token():
        properties["token"] = token
    return properties


def attach_statements() -> tuple[str, ...]:
    """The SQL that makes a DuckDB session with its extensions see the lakehouse. It holds credentials: never log it."""
    key, key_secret = quoted(secret("s3_access_key")), quoted(secret("s3_secret_key"))
    scheme, _, host = settings.s3_uri.partition("://")
    store = (
        f"create or replace secret lakehouse_s3 (type s3, key_id {key}, secret {key_secret}, "
        f"region {quoted(settings.cluster.s3_region)}, endpoint {quoted(host)}, url_style 'path', "
        f"use_ssl {str(scheme == 'https').lower()})"
    )
    options = f"type iceberg, endpoint {quoted(settings.iceberg_uri)}"
    own_keys = "" if settings.cluster.catalog == "seaweedfs" else ", access_delegation_mode 'none'"
    attach = f"attach if not exists {quoted(settings.warehouse)} as {LAKEHOUSE} ({options}{own_keys}"
    if credential := _credential():
        client_id, client_secret = map(quoted, credential)
        scope = f", oauth2_scope {quoted(settings.cluster.catalog_scope)}" * (settings.cluster.catalog == "rest")
        proof = (
            f"client_id {client_id}, client_secret {client_secret}, "
            f"oauth2_server_uri {quoted(settings.catalog_token_uri)}{scope}"
        )
    elif token := _token():
        proof = f"token {quoted(token)}"
    else:
        return store, f"{attach}, authorization_type 'none')"
    login = f"create or replace secret lakehouse_catalog (type iceberg, {proof})"
    return store, login, f"{attach}, secret lakehouse_catalog)"


def _credential() -> tuple[str, str] | None:
    """Client id and secret for OAuth2; None where the catalog does not take them."""
    match settings.cluster.catalog:
        case "seaweedfs":
            return secret("s3_access_key"), secret("s3_secret_key")
        case "rest" if has_secret("catalog_credential"):
            client_id, _, client_secret = secret("catalog_credential").partition(":")
            return client_id, client_secret
    return None


def _token() -> str | None:
    return secret("catalog_token") if settings.cluster.catalog == "rest" and has_secret("catalog_token") else None


def quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
