"""The console as a browser without JavaScript sees it: pages, links, and forms that are sent as they stand."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from starlette.testclient import TestClient

from tests.support.dead_letters import PROJECT
from worker.execution.app_context import AppContext
from worker.interfaces.api.app import create_app
from worker.interfaces.console import sessions

HERE = "http://127.0.0.1:8710"


class Form(HTMLParser):
    """The forms of a page: where each goes, and its fields with what they hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self._area = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.forms.append({"to": attributes.get("action"), "method": attributes.get("method", "get"), "fields": {}})
        elif tag in ("input", "textarea") and self.forms and attributes.get("name"):
            self.forms[-1]["fields"][attributes["name"]] = attributes.get("value") or ""


@dataclass
class Console:
    """`console.get("/dead")`; `console.send("/holds", reason=…)` opens the page and sends its form."""

    redis_url: str
    environ: dict[str, str] = field(default_factory=dict)
    bind: str = "127.0.0.1"
    base: str = HERE
    signed_in: bool = True  # where no password is set

    def __post_init__(self) -> None:
        environ = {"ERASER_REDIS_URL": self.redis_url, "ERASER_REGION": "cn-north-4", **self.environ}
        environ.setdefault("HUAWEICLOUD_SDK_PROJECT_ID", PROJECT)
        self.app = AppContext.load({name: value for name, value in environ.items() if value})
        self.starlette = create_app(self.app, bind=self.bind)
        self.client = TestClient(self.starlette, base_url=self.base, follow_redirects=False)
        if self.signed_in and self.app.settings.console_password is None:
            self.client.cookies.set(sessions.COOKIE, sessions.sign_in(self.app, "").id)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def text(self, path: str) -> str:
        """What a person reads of a page that is there."""
        response = self.get(path)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:500]}"
        return words(response.text)

    def token(self) -> str:
        """The token of this browser's forms."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.get("/holds").text)
        assert found, "the page has no form"
        return found[1]

    def post(self, path: str, *, headers: dict[str, str] | None = None, **typed: str) -> Any:
        """A post as a browser of ours sends it; headers beat, an empty one takes it away."""
        sent = {"Origin": self.base, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        return self.client.post(path, data=typed, headers={name: value for name, value in sent.items() if value})

    def send(self, path: str, to: str | None = None, **typed: str) -> Any:
        """Open the page, fill in its form (the one that posts to `to`, or the last) and send it; redirects followed."""
        page = self.get(path)
        assert page.status_code == 200, f"{path}: {page.status_code} {page.text[:500]}"
        forms = [
            form for form in Form(page.text).forms if form["method"] == "post" and form["to"] == (to or form["to"])
        ]
        forms = [form for form in forms if to or form["to"] != "/logout"]  # which is on every page
        fields = forms[-1]["fields"] | typed
        response = self.post(html.unescape(forms[-1]["to"] or path), **fields)
        return self.get(response.headers["location"]) if response.status_code == 303 else response


def words(text: str) -> str:
    """A page without its tags."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", text, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body))).strip()


def links(text: str) -> set[str]:
    """Every address of ours that a page names."""
    return {html.unescape(to) for to in re.findall(r'(?:href|src|hx-get)="(/[^"#]*)"', text)}


def walk(console: Console, *starts: str) -> Iterator[tuple[str, str, str]]:
    """(address, page, headers) of everything that links lead to."""
    visited: set[str] = set()
    todo = list(starts)
    while todo:
        path = todo.pop()
        if path in visited or path.startswith("/static"):
            continue
        visited.add(path)
        response = console.get(path)
        assert response.status_code in (200, 303, 404), f"{path}: {response.status_code}"
        if response.status_code == 200:
            todo += links(response.text)
        yield path, response.text, str(response.headers)
    assert len(visited) > 25, "the walk went nowhere"
