"""A real kube-apiserver on loopback with its etcd: what it accepts in a dry run, a cluster accepts.

Nothing is run by it: there are no nodes and no controllers, so the pods that a Deployment would make have to be
shown to it as well (`pods_of`).
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from patience import wait_until
from servers import free_port, tool

START_SECONDS = 60.0
SECONDS = 30
Document = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the server says of one object: its status code, why it refuses, and what it warns of."""

    code: int
    message: str
    warnings: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Accepted, and without a word."""
        return self.code in (200, 201) and not self.warnings


class ApiServer:
    """Its REST API, as its administrator."""

    def __init__(self, port: int, token: str, certificate: Path) -> None:
        self._url = f"https://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, and no other authorities
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.verify = str(certificate)
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}

    def ready(self) -> bool:
        with contextlib.suppress(requests.RequestException, OSError):
            return self._session.get(f"{self._url}/readyz", timeout=SECONDS).status_code == 200
        return False

    def create(self, document: Document, dry_run: bool = False) -> Answer:
        """Creates an object for good, unless it is a dry run."""
        path, _ = self._collection(document)
        asked = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return _read(self._session.post(self._url + path, json=document, params=asked, timeout=SECONDS))

    def apply(self, document: Document) -> Answer:
        """What `kubectl apply --server-side --dry-run=server --validate=strict` asks."""
        path, _ = self._collection(document)
        asked = {"dryRun": "All", "fieldManager": "tests", "fieldValidation": "Strict", "force": "true"}
        answer = self._session.patch(
            f"{self._url}{path}/{document['metadata']['name']}",
            data=yaml.safe_dump(document),
            params=asked,
            headers={"Content-Type": "application/apply-patch+yaml"},
            timeout=SECONDS,
        )
        return _read(answer)

    def knows(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind can be given to it."""
        prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        answer = self._session.get(self._url + prefix, timeout=SECONDS)
        if answer.status_code != 200:
            return False
        for each in answer.json()["resources"]:
            if each["kind"] == kind and "/" not in each["name"]:
                self._paths[api_version, kind] = (f"{prefix}/{{}}{each['name']}", each["namespaced"])
        return (api_version, kind) in self._paths

    def _collection(self, document: Document) -> tuple[str, bool]:
        name = document["apiVersion"], document["kind"]
        assert name in self._paths or self.knows(*name), f"the server knows no {name}"
        path, namespaced = self._paths[name]
        namespace = document["metadata"].get("namespace", "wgtwo")
        return path.format(f"namespaces/{namespace}/" if namespaced else ""), namespaced


def _read(answer: requests.Response) -> Answer:
    warnings = answer.headers.get("Warning", "")
    message = "" if answer.ok else str(answer.json().get("message", answer.text))
    return Answer(answer.status_code, message, tuple(filter(None, [warnings])))


def pods_of(document: Document) -> Iterator[Document]:
    """The pods that controllers would make of an object: what the security of a namespace is enforced on."""
    spec = document.get("spec", {})
    template = spec.get("jobTemplate", {}).get("spec", {}).get("template") or (
        spec.get("template") if document["kind"] in ("Deployment", "Job") else None
    )
    if template:
        metadata = {"name": document["metadata"]["name"], "labels": template["metadata"]["labels"]}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Runs one while the context lasts; blocks until it answers. Its logs stay in the folder."""
    etcd, peer, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    stores = [
        *("etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
        *(
            "--listen-client-urls",
            f"http://127.0.0.1:{etcd}",
            "--advertise-client-urls",
            f"http://127.0.0.1:{etcd}",
        ),
        *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
    ]
    serves = [
        tool("kube-apiserver"),
        *("--etcd-servers", f"http://127.0.0.1:{etcd}", "--bind-address", "127.0.0.1", "--secure-port", port),
        *("--cert-dir", folder / "certificates", "--token-auth-file", folder / "tokens.csv"),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-account-key-file", folder / "accounts.pem"),
        *("--service-account-signing-key-file", folder / "accounts.pem"),
        *("--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC"),
        *(
            "--disable-admission-plugins",
            "ServiceAccount",
        ),  # no controller makes a namespace's default account
    ]
    with contextlib.ExitStack() as running:
        for command in (stores, serves):
            log = running.enter_context((folder / f"{Path(command[0]).name}.log").open("wb"))
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
            running.callback(_end, process)
        server = ApiServer(port, token, folder / "certificates" / "apiserver.crt")
        wait_until(
            server.ready,
            START_SECONDS,
            "the API server to be ready",
            lambda: (folder / "kube-apiserver.log").read_text()[-2000:],
        )
        yield server


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
