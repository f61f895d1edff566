"""HTML of what is shown to people: every text is escaped, nothing is loaded from elsewhere."""

import html
from collections.abc import Iterable


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
