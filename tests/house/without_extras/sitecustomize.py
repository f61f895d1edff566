"""On the PYTHONPATH of a process, this makes Python find no module of the extras, as if none were installed."""

import sys

from wgtwo_pipeline.extras import EXTRAS


class NotInstalled:
    """Found first, it says of each of them what Python says of what it finds nowhere.

    But for cryptography, which Beam itself imports: no worker is without it.
    """

    modules = frozenset(module for modules in EXTRAS.values() for module in modules) - {"cryptography"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
