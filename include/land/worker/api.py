"""The few calls of Kafka Connect's REST API that we use, answered on loopback."""

import json
import logging
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from include.errors import HnaiError
from include.land.worker.connectors import Connectors
from include.settings import settings

log = logging.getLogger(__name__)
_PATH = re.compile(r"/connectors(?:/([^/]+)(?:/(config|status|pause|resume|restart|tasks))?)?/?")
LONGEST_BODY = 1_000_000


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, connectors: Connectors) -> None:
        self.connectors = connectors
        super().__init__((settings.host, settings.port("connect")), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        try:
            code, body = self._call(method, urlsplit(self.path).path)
        except LookupError as error:
            code, body = 404, {"error_code": 404, "message": str(error.args[0] if error.args else error)}
        except (HnaiError, ValueError) as error:
            code, body = 400, {"error_code": 400, "message": str(error)}
        except Exception as error:
            log.exception("%s %s", method, self.path)
            code, body = 500, {"error_code": 500, "message": f"{type(error).__name__}: {error}"}
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _call(self, method: str, path: str) -> tuple[int, Any]:
        body = self._body()
        connectors = self.server.connectors
        if method == "GET" and path == "/":
            return 200, {"version": "embedded", "commit": "", "kafka_cluster_id": ""}
        match = _PATH.fullmatch(path)
        if not match:
            raise LookupError(f"No such call: {path}")
        name, verb = unquote(match[1]) if match[1] else None, match[2]
        if name is None:
            if method != "GET":
                raise LookupError("Register with PUT /connectors/{name}/config")
            return 200, connectors.names()
        match method, verb:
            case "PUT", "config":
                is_new = connectors.put(name, json.loads(body or b"null"))
                return 201 if is_new else 200, self._described(name)
            case "GET", None:
                return 200, self._described(name)
            case "GET", "config":
                return 200, connectors.get(name).config
            case "GET", "status":
                return 200, connectors.get(name).status()
            case "GET", "tasks":
                return 200, [{"id": {"connector": name, "task": 0}, "config": connectors.get(name).config}]
            case "PUT", "pause":
                connectors.pause(name)
                return 202, None
            case "PUT", "resume":
                connectors.resume(name)
                return 202, None
            case "POST", "restart":
                connectors.restart(name)
                return 204, None
            case "DELETE", None:
                connectors.delete(name)
                return 204, None
        raise LookupError(f"No such call: {method} {path}")

    def _described(self, name: str) -> dict[str, Any]:
        connector = self.server.connectors.get(name)
        return {"name": name, "config": connector.config, "tasks": [{"connector": name, "task": 0}], "type": "source"}

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST_BODY:
            raise ValueError("The body is too long")
        return self.rfile.read(length) if length else b""

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
