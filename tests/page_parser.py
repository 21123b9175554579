"""A page as a browser takes it apart: tags that close, ids, links, images, tables."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Raises AssertionError for tags that do not close in their order.

    Arguments:
        html: the whole page.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: dict[str, list[dict]] = {}
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len({*names}), f"<{tag}> has an attribute twice: {names}"
        self.attributes.setdefault(tag, []).append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def values(self, attribute: str, *tags: str) -> list[str]:
        """Values of an attribute of some tags, or of all."""
        return [
            each[attribute]
            for tag, found in self.attributes.items()
            if tag in tags or not tags
            for each in found
            if attribute in each
        ]
