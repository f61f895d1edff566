"""A stand-in for wgtwo's event service, for trying the pipeline out and for testing it."""
