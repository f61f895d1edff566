"""Proxies between our client and a gRPC server, each a real one in a process of its own."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from scripted_server import Certificate
from servers import free_port, wait_for_port


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        pytest.fail(f"{name} is missing: run .ci/debian.sh")
    return found


class Proxy:
    """What nginx and haproxy have in common."""

    def __init__(self, folder: Path, certificate: Certificate, target: str, idle: str = "60s") -> None:
        self.folder, self.target_of_it, self.idle = folder, target, idle
        folder.mkdir()
        (folder / "both.pem").write_bytes(certificate.pem + certificate.key)
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "configuration").write_text(self.configuration() + "\n")
        self.process = subprocess.Popen(self.command(), stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def restart(self) -> None:
        """Hard: connections are cut."""
        self.stop()
        self.start()

    def configuration(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def drain(self) -> None:
        """Takes a new configuration: what goes on ends in peace, with GOAWAY."""
        raise NotImplementedError


class Nginx(Proxy):
    """`grpc_pass`, behind TLS with ALPN."""

    def configuration(self) -> str:
        return f"""
            daemon off;
            pid {self.folder}/pid;
            error_log {self.folder}/error.log;
            events {{}}
            http {{
              access_log off;
              client_body_temp_path {self.folder}/body;
              proxy_temp_path {self.folder}/proxy;
              fastcgi_temp_path {self.folder}/fastcgi;
              uwsgi_temp_path {self.folder}/uwsgi;
              scgi_temp_path {self.folder}/scgi;
              keepalive_requests 1000;
              http2_max_concurrent_streams 64;
              server {{
                listen 127.0.0.1:{self.port} ssl http2;
                ssl_certificate {self.folder}/both.pem;
                ssl_certificate_key {self.folder}/both.pem;
                client_body_timeout {self.idle};
                location / {{
                  grpc_pass grpc://{self.target_of_it};
                  grpc_read_timeout {self.idle};
                  grpc_send_timeout {self.idle};
                }}
              }}
            }}
        """

    def command(self) -> list[str]:
        return [program("nginx"), "-c", f"{self.folder}/configuration", "-p", str(self.folder)]

    def drain(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


class Haproxy(Proxy):
    """HTTP/2 on both sides, behind TLS with ALPN."""

    def configuration(self) -> str:
        return f"""
            global
              maxconn 100
            defaults
              mode http
              timeout connect 5s
              timeout client {self.idle}
              timeout server {self.idle}
            frontend in
              bind 127.0.0.1:{self.port} ssl crt {self.folder}/both.pem alpn h2
              default_backend out
            backend out
              server one {self.target_of_it} proto h2
        """

    def command(self) -> list[str]:
        return [program("haproxy"), "-W", "-f", f"{self.folder}/configuration"]

    def drain(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2)


PROXIES = {"nginx": Nginx, "haproxy": Haproxy}
