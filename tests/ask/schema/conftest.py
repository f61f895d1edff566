"""Spark, where the heavy tests ask for it."""

from spark_session import spark

__all__ = ["spark"]
