"""The check that ``HttpEventTrigger`` is told to make; it imports this module anew at each poll."""

from __future__ import annotations

from typing import Any


async def has_video(response: Any) -> bool:
    """Return whether an answer says that the video is there."""
    return bool(response.json()["data"]["state"] == "success")
