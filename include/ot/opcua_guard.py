"""An OPC UA client that cannot write: an allow-list of services, checked on the encoded request.

Whatever asks for it, whatever method it uses: a request whose type id is not on the list is refused before its
first byte is sent. On the list is what reads, and what keeps the mirror's own session and subscriptions alive.

Not on it is everything that can change a process value, the address space or another client's state (Write, Call,
HistoryUpdate, AddNodes, AddReferences, DeleteNodes, DeleteReferences, TransferSubscriptions, RegisterServer …), and
what would be harmless but is not needed: RegisterNodes only makes a server keep short names for us, which pays
for repeated Reads, and the mirror subscribes. A list that holds nothing idle is one that a plant can check.
"""

import logging
from typing import Any

from asyncua import Client, ua
from asyncua.client.ua_client import UaClient
from asyncua.client.ua_session import UaSession
from asyncua.common.connection import SecureConnection
from asyncua.common.shortcuts import Shortcuts
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIdNames
from asyncua.ua.ua_binary import nodeid_from_binary

from include.errors import OtError

logging.getLogger("asyncua").setLevel(logging.ERROR)  # what it warns of is told in words by those who use it

SERVICES = (
    "GetEndpoints",
    "OpenSecureChannel",
    "CloseSecureChannel",
    "CreateSession",
    "ActivateSession",
    "CloseSession",
    "Browse",
    "BrowseNext",
    "Read",
    "HistoryRead",
    "CreateSubscription",
    "SetPublishingMode",  # of our own subscriptions: how the server is asked whether they are still alive
    "CreateMonitoredItems",
    "DeleteMonitoredItems",
    "Publish",
    "Republish",
)
_ENDING = "Request_Encoding_DefaultBinary"
_ALLOWED = {getattr(ua.ObjectIds, name + _ENDING) for name in SERVICES}


class WriteRefused(OtError):
    """Code of ours asked for a service that the mirror must not use. Nothing was sent."""


def service_of(message: bytes) -> str:
    """The service that an encoded request asks for: Read, Write, Call …"""
    type_id = nodeid_from_binary(Buffer(message))
    if type_id.NamespaceIndex or not isinstance(type_id.Identifier, int):
        return type_id.to_string()
    return ObjectIdNames.get(type_id.Identifier, str(type_id.Identifier)).removesuffix(_ENDING)


def check(message: bytes) -> None:
    """Raise `WriteRefused` unless the encoded request is on the allow-list."""
    type_id = nodeid_from_binary(Buffer(message))
    if type_id.NamespaceIndex or type_id.Identifier not in _ALLOWED:
        raise WriteRefused(
            f"The mirror only reads: the OPC UA service {service_of(message)} was refused before it was sent. "
            f"Allowed are {', '.join(SERVICES)}; take the call out of the code"
        )


class ReadOnlyClient(Client):
    """asyncua's client, of which every message passes `check`."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, timeout=timeout)
        self.uaclient = _Transport(timeout)
        self.uaclient.pre_request_hook = self._wait_until_ready
        self.nodes = Shortcuts(self.uaclient.session)


class _Transport(UaClient):
    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self.session = _Session(self)

    def _make_protocol(self) -> Any:
        protocol = super()._make_protocol()
        protocol._connection = _Connection(protocol._connection.security_policy, protocol._connection._limits)
        return protocol


class _Session(UaSession):
    def ensure_publish_loop(self) -> None:
        """Nothing: who subscribes publishes himself, so that a message that cannot be read is no silent loss."""


class _Connection(SecureConnection):
    def message_to_binary(self, message: bytes, *args: Any, **kwargs: Any) -> bytes:
        check(message)
        return super().message_to_binary(message, *args, **kwargs)
