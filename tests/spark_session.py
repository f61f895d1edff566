"""Spark, for the heavy tests that read with it: a fixture to import into a conftest."""

import pytest


@pytest.fixture(scope="module")
def spark():
    """A session of its own process, small, in UTC: Spark shows and reads times in the session's zone."""
    from pyspark.sql import SparkSession  # installed by `make heavy`, not by `make test`

    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    session = SparkSession.builder.master("local[1]").config(map=options).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
