"""A headless Chromium, led through its DevTools protocol: no driver and no package beside aiohttp."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any

import aiohttp
from typing_extensions import Self

from tests.harness.processes import HarnessError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: Keys that can be pressed: the key code, and what it types.
KEYS = {"Enter": (13, "\r"), " ": (32, " "), "Tab": (9, ""), "ArrowRight": (39, "")}


class Browser:
    """One page of a headless Chromium; use it as an asynchronous context manager.

    :param folder: its profile goes there
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    async def __aenter__(self) -> Self:
        assert CHROMIUM
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--remote-debugging-port=0", f"--user-data-dir={self._folder}", "--window-size=1200,1400"),
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._client = aiohttp.ClientSession()
        try:
            port = await self._wait_for_port()
            async with self._client.get(f"http://127.0.0.1:{port}/json/list") as response:
                (page,) = [target for target in await response.json() if target["type"] == "page"]
            self._socket = await self._client.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close()
        self._process.kill()
        await self._process.wait()

    async def _wait_for_port(self, timeout: float = 60) -> int:
        # Chromium writes the port that it took into its profile.
        file = self._folder / "DevToolsActivePort"
        deadline = time.monotonic() + timeout
        while not (file.exists() and file.read_text().strip()):
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise HarnessError(f"Chromium did not start (exit code {self._process.returncode})")
            await asyncio.sleep(0.1)
        return int(file.read_text().split()[0])

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result.

        :raises HarnessError: when Chromium calls it an error
        """
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=60)
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise HarnessError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    async def open(self, url: str) -> None:
        """Go to an address, without waiting for what the page loads later."""
        await self.command("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression on the page; a promise is awaited.

        :raises HarnessError: when it throws
        """
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise HarnessError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def _evaluate_here(self, script: str) -> Any:
        try:
            return await self.evaluate(script)
        except HarnessError as error:
            # The page went away while it was asked: the next one has not been asked yet.
            if "navigated or closed" in str(error) or "context was destroyed" in str(error):
                return None
            raise

    async def wait_for(self, script: str, *, timeout: float = 60) -> Any:
        """Evaluate an expression until it is true, and return its value.

        :param timeout: seconds
        :raises HarnessError: when it is not in time, with the text of the page
        """
        deadline = time.monotonic() + timeout
        while not (found := await self._evaluate_here(script)):
            if time.monotonic() > deadline:
                text = await self.evaluate("document.body.innerText")
                raise HarnessError(
                    f"waited {timeout:.0f} s in vain for {script} on a page that says:\n{text}"
                )
            await asyncio.sleep(0.2)
        return found

    async def click(self, text: str, *, among: str = "button") -> None:
        """Click the first element that shows this text, as soon as there is one that stands still.

        :param among: a CSS selector of what it can be
        """
        middle = f"""(() => {{
            const element = [...document.querySelectorAll({json.dumps(among)})].find(
                element => element.innerText.trim() === {json.dumps(text)} && !element.disabled
            );
            element?.scrollIntoView({{block: "center"}});
            const box = element?.getBoundingClientRect();
            return box && [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        x, y = await self.wait_for(middle)
        while (moved := await self.wait_for(middle)) != [x, y]:
            x, y = moved
            await asyncio.sleep(0.1)
        for kind in ("mousePressed", "mouseReleased"):
            await self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def write(self, selector: str, text: str) -> None:
        """Type a text into the field that a CSS selector finds."""
        await self.wait_for(f"!!document.querySelector({json.dumps(selector)})")
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.command("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press a key where the focus is.

        :param key: one of :data:`KEYS`
        """
        code, text = KEYS[key]
        event = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        await self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **event)

    async def set_window(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the page in pixels, and which looks the system asks for."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def photograph(self, selector: str = "html") -> bytes:
        """Return a picture, a PNG, of what the window shows of the element that a CSS selector finds."""
        box = await self.evaluate(
            f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        )
        clip = {name: box[name] for name in ("x", "y", "width", "height")} | {"scale": 1}
        answer = await self.command("Page.captureScreenshot", format="png", clip=clip)
        return base64.b64decode(answer["data"])
