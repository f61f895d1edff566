"""Lets the pipeline's processes live some seconds in the future: on PYTHONPATH, Python runs this at the start.

Only the time of day is moved, as for somebody who comes back later, and only for the pipeline's own modules: C code
takes no other class for `datetime`, and grpc makes deadlines of `time.time` that it then waits for by the real clock.
"""

import datetime
import os
import sys
import time
from importlib.machinery import PathFinder
from types import ModuleType

_AHEAD_SECONDS = float(os.environ.get("CLOCK_AHEAD_SECONDS", "0"))
_datetime = datetime.datetime
_shifted_time = ModuleType("time")
_shifted_time.__dict__.update(
    vars(time),
    time=lambda: time.time() + _AHEAD_SECONDS,
    time_ns=lambda: time.time_ns() + int(_AHEAD_SECONDS * 1e9),
)


class _Instances(type):
    """What C code made is no subclass's instance, but a datetime all the same."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, _datetime)


class _Datetime(_datetime, metaclass=_Instances):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=_AHEAD_SECONDS)


class _Shifting(PathFinder):
    """Finds the pipeline's modules as usual, and changes what `datetime` and `time` mean in them."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        spec = super().find_spec(fullname, path, target) if fullname.startswith("wgtwo_pipeline.") else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                if getattr(module, "datetime", None) is _datetime:
                    module.datetime = _Datetime
                if getattr(module, "time", None) is time:
                    module.time = _shifted_time

            spec.loader.exec_module = exec_module
        return spec


if _AHEAD_SECONDS:
    sys.meta_path.insert(0, _Shifting)
