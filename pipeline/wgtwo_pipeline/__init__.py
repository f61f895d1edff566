"""Stores wgtwo's telecom events as partitioned Parquet, exactly once."""
