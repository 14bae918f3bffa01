"""Headless Chromium over its DevTools pipe: what a page asks for, complains of, and looks like. No dependency."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--no-pings"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-dev-shm-usage", "--remote-debugging-pipe", "about:blank"),
)
PATIENCE = 60.0


def find_chromium() -> str | None:
    """The browser's program, where one is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab. Everything the browser reports about it is kept in `events`, until the next `open`."""

    def __init__(self, program: str, profile: Path) -> None:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        # the pipe must be descriptors 3 and 4 of the browser; high copies keep the shell's own redirections apart
        words = ["bash", "-c", f'exec "$@" 3<&{to_child} 4>&{from_child}', "bash", program, *FLAGS]
        self._process = subprocess.Popen(
            [*words, f"--user-data-dir={profile}"],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._out)
        os.close(self._in)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer; RuntimeError when it refuses."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, page: Path, width: int, *, scripts: bool = True, dark: bool = False) -> None:
        """Load a page at a width and wait until it is whole."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.events.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives on the page."""
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def requests(self) -> list[str]:
        """Addresses that the page asked for, without what it holds itself."""
        sent = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [address for address in sent if not address.startswith("data:")]

    def complaints(self) -> list[str]:
        """Exceptions, errors and warnings, also those of the content policy."""
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"]["text"])
            elif method == "Runtime.consoleAPICalled":
                found.append(f"console.{parameters['type']}")
            elif method == "Log.entryAdded":
                found.append(parameters["entry"]["text"])
        return found

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(self._in, 1 << 20) if ready else b""
            if not piece:
                raise TimeoutError(f"Chromium says nothing (exit code {self._process.poll()})")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


ILLEGIBLE = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect(), found = [];
  const words = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  words.forEach(([word, box], place) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push(`cut off: ${word}`);
    if (box.top < frame.top - 1 || box.bottom > frame.bottom + 1) found.push(`cut off: ${word}`);
    words.slice(place + 1).forEach(([other, second]) => {
      const wide = Math.min(box.right, second.right) - Math.max(box.left, second.left);
      const high = Math.min(box.bottom, second.bottom) - Math.max(box.top, second.top);
      if (wide > 2 && high > 3) found.push(`${word} over ${other}`);
    });
  });
  return found.map(said => `${svg.getAttribute('aria-label').slice(0, 40)}: ${said}`);
})"""
"""Words of plots that are cut off by their frame, or lie on other words."""


def check_page(browser: Browser, page: Path) -> None:
    """No request, no complaint, nothing sideways, no words cut off: on a desktop and a phone, light and dark."""
    for width in (1280, 390):
        for dark in (False, True):
            browser.open(page, width, dark=dark)
            assert browser.requests() == [page.resolve().as_uri()]
            assert browser.complaints() == [], browser.complaints()
            assert browser.value("window.innerWidth") == width
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert not (illegible := browser.value(ILLEGIBLE)), illegible
            assert browser.value("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
