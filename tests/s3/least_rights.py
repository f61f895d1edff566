"""Users of a real S3 server who may do what the policies of `infra/` let them, and nothing else."""

import json
import os
import subprocess
from pathlib import Path

from servers import VersityGateway, tool

BUCKET, PREFIX = "a-lake", "lakes/one"
INFRA = Path(__file__).parent.parent.parent / "infra"


def grant(server: VersityGateway, bucket: str, *names: str) -> None:
    """Makes a user of each name, with the rights of `iam-<name>.json` in this bucket."""
    statements = []
    for name in names:
        create_user(server, name)
        text = (INFRA / f"iam-{name}.json").read_text().replace("BUCKET", bucket).replace("PREFIX", PREFIX)
        statements += [
            {**statement, "Sid": f"{name}{statement['Sid']}", "Principal": {"AWS": [name]}}
            for statement in json.loads(text)["Statement"]
        ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    server.client().put_bucket_policy(Bucket=bucket, Policy=policy)


def secret(name: str) -> str:
    return f"{name}secret"


def create_user(server: VersityGateway, name: str) -> None:
    command = [tool("versitygw"), "admin", "--access", server.credentials.access_key]
    command += ["--secret", server.credentials.secret_key, "--endpoint-url", server.endpoint]
    command += ["create-user", "--access", name, "--secret", secret(name), "--role", "user"]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
