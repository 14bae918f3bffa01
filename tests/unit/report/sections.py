"""What a page says, to be held against the Markdown beside it."""

from __future__ import annotations

from html.parser import HTMLParser

from vesselbench.report.page import escape_markdown


class Sections(HTMLParser):
    """The ids of the sections, and every text of them but those inside drawings and the parts of the legend."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self.pictures: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        held = dict(attributes)
        if tag == "section" and "id" in held:
            self.ids.append(str(held["id"]))
        if tag == "img":
            self.pictures.append(str(held["alt"]))
        elif tag not in ("meta", "br"):
            self._open.append("legend" if held.get("class") == "legend" else tag)

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_data(self, data):
        if "section" not in self._open or {"svg", "legend"} & {*self._open} or not data.strip():
            return
        if self._open[-1] in ("h2", "h3"):
            self.headings.append(" ".join(data.split()))
        self.texts.append(" ".join(data.split()))

    def not_in(self, markdown: str) -> list[str]:
        """Texts and pictures of the page that the Markdown lacks."""
        held = " ".join(markdown.split())
        told = [*(text.strip("· ") for text in self.texts), *self.pictures]
        return [text for text in told if text not in held and escape_markdown(text) not in held]
