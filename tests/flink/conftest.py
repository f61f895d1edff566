from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import FlinkCluster, flink_cluster


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with flink_cluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster
