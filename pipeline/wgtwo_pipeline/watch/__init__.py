"""What is shown of a running pipeline and of its lake over HTTP: figures, probes, a page. Read only.

Promise: a request never asks the lake or the service: it shows what was last seen of them, and when that was.
Open first: `server.py` (the routes), then `lake.py` (the looks at the lake), `serve.py` (the command `serve`).
May import: ask, audit, lake and metrics; what a pipeline's processes do is handed in (`server.Pipeline`).
"""
