"""A story that is longer than one generation: a task group of a video and its continuations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from airflow_provider_runway.compat import TaskGroup
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.operators.runway import RunwayExtendOperator, RunwayGenerateOperator

#: The only one that can be extended.
_QUALITY = "720p"
#: What each step has its own of.
_OF_EACH_STEP = ("task_id", "parent_task_id", "wait_for_completion")


def runway_sequence(
    *,
    prompt: str,
    continuations: Sequence[str],
    path: str | os.PathLike[str],
    group_id: str = "sequence",
    duration: int | str = 5,
    aspect_ratio: str | None = "16:9",
    image_url: str | None = None,
    overwrite: bool = False,
    manifest: bool = False,
    thumbnail: bool = False,
    **arguments: Any,
) -> Any:
    """
    Add a task group to the DAG: a video is generated, extended, extended again, and the last one is stored.

    Each step is a task of its own, ``scene_1``, ``scene_2``, ..., which is retried alone: what came before it
    is not paid for again. The quality is 720p, since a video of 1080p cannot be extended. That the last video
    can be stored is found out by the first step, before anything is paid for.

    :param prompt: What the first scene shows, 1 to 1800 characters; may hold a template, as all texts here.
    :param continuations: What happens next, scene by scene: as many tasks are made as there are prompts when
        Airflow reads the DAG file.
    :param path: Where the last video is stored; see ``path`` of the operators.
    :param group_id: The ID of the task group.
    :param duration: Length of the first scene in seconds, 5 or 10.
    :param aspect_ratio: ``16:9``, ``9:16``, ``1:1``, ``4:3`` or ``3:4``.
    :param image_url: A picture to start from.
    :param overwrite: Replace a file that is at ``path`` already.
    :param manifest: Store the story of the last video beside it, too.
    :param thumbnail: Store its first picture beside it, too.
    :param arguments: Further arguments of every step, such as ``deferrable`` or ``retries``.
    :return: The output of the last step, which is the path of the file.
    :raises RunwayValidationError: ``continuations`` is no list of texts, or an argument is one that each step
        has its own of, or another ``quality``.
    """
    if isinstance(continuations, str) or not all(isinstance(text, str) for text in continuations):
        raise RunwayValidationError(f"continuations={continuations!r}: must be a list of prompts.")
    for name in arguments:
        if name in _OF_EACH_STEP:
            raise RunwayValidationError(f"{name}={arguments[name]!r}: each step of a sequence has its own.")
    if (quality := arguments.pop("quality", _QUALITY)) != _QUALITY:
        raise RunwayValidationError(
            f"quality={quality!r}: must be {_QUALITY!r}, since a video of 1080p cannot be extended."
        )
    storing: dict[str, Any] = {"overwrite": overwrite, "manifest": manifest, "thumbnail": thumbnail}

    def ending(number: int) -> dict[str, Any]:
        is_last = number == len(continuations) + 1
        return {"path": path} if is_last else {"wait_for_completion": True}

    with TaskGroup(group_id=group_id):
        step: Any = RunwayGenerateOperator(
            task_id="scene_1",
            prompt=prompt,
            quality=_QUALITY,
            duration=duration,
            aspect_ratio=aspect_ratio,
            image_url=image_url,
            **ending(1),
            **storing,
            **arguments,
        )
        if continuations:
            # An argument of this step alone.
            step.template_fields = (*step.template_fields, "later_path")
            step.later_path = path
        for number, continuation in enumerate(continuations, start=2):
            step = RunwayExtendOperator(
                task_id=f"scene_{number}",
                parent_task_id=step.output,
                prompt=continuation,
                quality=_QUALITY,
                **ending(number),
                **storing,
                **arguments,
            )
    return step.output
