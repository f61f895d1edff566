"""HTML of what is shown to people: every text is escaped, nothing is loaded from elsewhere."""

import html
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources

_VIEWPORT = 'name="viewport" content="width=device-width, initial-scale=1"'


def document(title: str, package: str, body: Iterable[str], *meta: str) -> str:
    """A whole page with the style of a package's `page.css`; `meta` are attributes of the head's elements of it."""
    metas = "".join(f"<meta {each}>" for each in (*meta, _VIEWPORT))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>{metas}'
        f"<style>{_style(package)}</style></head>\n<body>{chr(10).join(body)}</body></html>\n"
    )


@lru_cache
def _style(package: str) -> str:
    return resources.files(package).joinpath("page.css").read_text()


def section(title: str, content: str) -> str:
    """A part of a page; `content` is HTML."""
    return f"<section><h2>{text(title)}</h2>{content}</section>"


def table(name: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that is found by its name; heads and cells are plain text."""
    head = "".join(f"<th>{text(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table id="{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def text(plain: str) -> str:
    """Plain text as HTML: never markup."""
    return html.escape(plain)
