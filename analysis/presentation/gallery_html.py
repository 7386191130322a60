"""Pictures as HTML: rows of thumbnails that wrap on narrow pages."""

import base64
from html import escape
from pathlib import PurePath

from dacbn.analysis.presentation.pictures import Gallery, Picture, media_type
from dacbn.plain_text import plain


def to_html(gallery: Gallery) -> str:
    """Write a gallery."""
    rows = "".join(
        (f"<p class='words'>{escape(words)}</p>" if words else "")
        + f"<div class='pictures'>{''.join(map(_picture, pictures))}</div>"
        for words, pictures in gallery.rows
    )
    head = f"<h3>{escape(plain(gallery.title))}</h3>"
    is_open = "" if gallery.folded else " open"
    return f"<details class='gallery'{is_open}><summary>{head}</summary>{rows}</details>"


def data_address(encoded: bytes) -> str:
    """Write an encoded image as an address that holds it."""
    return f"data:{media_type()};base64,{base64.b64encode(encoded).decode()}"


def _picture(picture: Picture) -> str:
    name = plain(picture.name)
    lines = "".join(f"<span>{escape(plain(line))}</span>" for line in picture.lines)
    kind = " class='wrong'" if picture.wrong else ""
    short = PurePath(name).name or name
    return (
        f"<figure{kind} title='{escape(name)}'><img src='{data_address(picture.encoded)}' "
        f"alt='{escape(short)}' decoding='async'><figcaption><b>{escape(short)}</b>{lines}"
        "</figcaption></figure>"
    )
