"""What the sandbox serves over HTTP: the token endpoint, and the admin page with its JSON API.

Promise: a wrong request is answered with what is right; what a foreign page makes a browser send is refused.
Open first: `admin.py` (its docstring lists the routes), `tokens.py`; requests are those of `wgtwo_pipeline/web.py`.
May import: the sandbox's broker and what is below it; never services.
"""
