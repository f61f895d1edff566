from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import FlinkCluster, flink_cluster
from servers import ADMINISTRATOR


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    """Its workers find the credentials of a lake on a VersityGateway in their environment."""
    folder = tmp_path_factory.mktemp("flink")
    with flink_cluster(folder, environment=ADMINISTRATOR.environment()) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _no_job_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that failed must not take the next one's slots."""
    names = {"flink", "two_task_managers"} & set(request.fixturenames)
    cluster: FlinkCluster | None = request.getfixturevalue("flink") if names else None
    yield
    for job in cluster.running() if cluster else []:
        cluster.cancel(job)
