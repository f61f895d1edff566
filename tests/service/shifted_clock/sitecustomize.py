"""Lets the pipeline's processes live some seconds in the future: on PYTHONPATH, Python runs this at the start.

Only the time of day is moved, as for somebody who comes back later: waiting takes as long as ever. `datetime` is
replaced in the pipeline's own modules alone, since C code takes no other class for it.
"""

import datetime
import os
import sys
import time
from importlib.machinery import PathFinder

_AHEAD_SECONDS = float(os.environ.get("CLOCK_AHEAD_SECONDS", "0"))
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


class _Instances(type):
    """What C code made is no subclass's instance, but a datetime all the same."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, _datetime)


class _Datetime(_datetime, metaclass=_Instances):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=_AHEAD_SECONDS)


class _Shifting(PathFinder):
    """Finds the pipeline's modules as usual, and changes what `datetime` means in them."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        spec = super().find_spec(fullname, path, target) if fullname.startswith("pipeline.") else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                if getattr(module, "datetime", None) is _datetime:
                    module.datetime = _Datetime

            spec.loader.exec_module = exec_module
        return spec


if _AHEAD_SECONDS:
    time.time = lambda: _time() + _AHEAD_SECONDS
    time.time_ns = lambda: _time_ns() + int(_AHEAD_SECONDS * 1e9)
    sys.meta_path.insert(0, _Shifting)
