"""A video longer than one generation: a task group that generates it and extends it step by step."""

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
    Add a task group to the DAG that generates a video, extends it scene by scene, and stores the last one.

    Each scene is a task of its own, ``scene_1``, ``scene_2``, ..., which is retried on its own: the scenes
    before it are not paid for again. The quality is 720p, since a 1080p video cannot be extended. The first
    task checks, before anything is paid for, that the last video can be stored.

    :param prompt: What the first scene shows, 1 to 1800 characters; can be a template, like all texts here.
    :param continuations: What happens next, scene by scene: one task for each prompt; how many is fixed when
        Airflow parses the DAG file.
    :param path: Where to store the last video; see ``path`` of the operators.
    :param group_id: The ID of the task group.
    :param duration: Length of the first scene in seconds, 5 or 10.
    :param aspect_ratio: ``16:9``, ``9:16``, ``1:1``, ``4:3`` or ``3:4``.
    :param image_url: A picture to start from.
    :param overwrite: Replace an existing file at ``path``.
    :param manifest: Also store a manifest of the last video next to it.
    :param thumbnail: Also store its first picture next to it.
    :param arguments: Further arguments for every task, such as ``deferrable`` or ``retries``.
    :return: The output of the last task: the path of the file.
    :raises RunwayValidationError: ``continuations`` is not a list of texts, an argument is one that each task
        has its own of, or ``quality`` is another one.
    """
    if isinstance(continuations, str) or not all(isinstance(text, str) for text in continuations):
        raise RunwayValidationError(f"continuations={continuations!r}: must be a list of prompts.")
    for name in arguments:
        if name in _OF_EACH_STEP:
            raise RunwayValidationError(f"{name}={arguments[name]!r}: each task of a sequence has its own.")
    if (quality := arguments.pop("quality", _QUALITY)) != _QUALITY:
        raise RunwayValidationError(
            f"quality={quality!r}: must be {_QUALITY!r}, since a 1080p video cannot be extended."
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
