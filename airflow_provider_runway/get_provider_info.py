"""What Airflow learns about the package: its connection type and form, and where its classes are."""

from __future__ import annotations

from typing import Any

from airflow_provider_runway import DOCS_URL, __version__

_INTEGRATION = "Runway"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-runway",
        "name": "Runway",
        "description": "AI videos in DAGs: Runway's models through `kie.ai <https://kie.ai/>`__.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.kie.ai/",
                "how-to-guide": [
                    f"{DOCS_URL}{page}.html"
                    for page in ("operators", "stories", "storing", "callbacks", "looking", "simulator")
                ],
                "tags": ["service"],
            }
        ],
        "operators": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_runway.operators.runway"]}
        ],
        "sensors": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_runway.sensors.runway"]}
        ],
        "hooks": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_runway.hooks.runway"]}
        ],
        "triggers": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "airflow_provider_runway.triggers.runway",
                    "airflow_provider_runway.triggers.lost_answer",
                    "airflow_provider_runway.assets.finished",
                ],
            }
        ],
        "extra-links": [
            "airflow_provider_runway.links.runway.RunwayLogsLink",
            "airflow_provider_runway.links.runway.RunwayVideoLink",
        ],
        "config": {
            "runway": {
                "description": "Settings of the Runway provider.",
                "options": {
                    "state_path": {
                        "description": (
                            "Where operators record what they have submitted, so that a retry does not "
                            "submit and pay again: an existing folder that all workers share, as a path or a "
                            "URI for Airflow's ObjectStoragePath. From Airflow 3.3 on, which has a task "
                            "state store, only notes from before the upgrade are read here."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/airflow-runway-state",
                        "default": "",
                    },
                    "video_tab": {
                        "description": (
                            "Whether Airflow's UI shows the tab Video on task instances. Requires Airflow "
                            "3.1."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "gallery_tab": {
                        "description": (
                            "Whether Airflow's UI shows the tab Videos on DAG runs. Requires Airflow 3.1."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "callback_asset": {
                        "description": (
                            "The name or the URI of an asset. Each callback from kie.ai becomes an event of "
                            "it, so that DAGs scheduled on it start when a video has ended. Its `extra` has "
                            "the Runway task ID, and the DAG, run and task that submitted. Requires Airflow "
                            "3.1."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "runway-videos://finished",
                        "default": "",
                    },
                    "video_roots": {
                        "description": (
                            "Where the API server may play stored videos from in these tabs: folders, or "
                            "URIs for Airflow's ObjectStoragePath, that it can read, separated by commas. "
                            "DAG authors can show any MP4 below them, so name only folders for videos. If "
                            "empty, no stored file is served, and videos are played from kie.ai while it has "
                            "them."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/shared/videos,s3://aws_default@my-bucket/videos",
                        "default": "",
                    },
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "runway",
                "hook-class-name": "airflow_provider_runway.hooks.runway.RunwayHook",
                "hook-name": "Runway (kie.ai)",
                "ui-field-behaviour": {
                    # Extra stays: it takes what has no field of its own, such as `proxies` and `verify`.
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {
                        "host": "https://api.kie.ai",
                        "password": "your key from https://kie.ai/api-key",
                    },
                },
                "conn-fields": {
                    "api": {
                        "label": "API generation",
                        "description": "Which of kie.ai's two APIs to use: 'dedicated' (/api/v1/runway and "
                        "/api/v1/aleph) or 'market' (/api/v1/jobs). Each knows only the tasks it created.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["dedicated", "market"],
                            "default": "dedicated",
                        },
                    },
                    "timeout": {
                        "label": "Read timeout (seconds)",
                        "description": "How long one request waits for data; empty means 30. "
                        "Connecting may take at most 10.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "max_lookups_per_second": {
                        "label": "Polls per second",
                        "description": "How many polls per second to allow, for each triggerer; "
                        "empty means 500, 0 means no limit.",
                        "schema": {"type": ["number", "null"], "minimum": 0},
                    },
                    "speed": {
                        "label": "Simulator speed",
                        "description": "How many times as fast as kie.ai a simulator runs; waits poll that "
                        "many times as often. Empty means 1, the real service.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "allow_private_hosts": {
                        "label": "Allow private hosts",
                        "description": "Whether videos may be downloaded from private addresses other than "
                        "the hosts named here; empty means no.",
                        "schema": {"type": ["boolean", "null"]},
                    },
                    "callback_base_url": {
                        "label": "Callback base URL",
                        "description": "Where kie.ai reaches this Airflow's API server, such as "
                        "https://airflow.example.com; if set, kie.ai is asked to call back when a video is "
                        "done. Requires Airflow 3.1. Empty means no callbacks.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "webhook_hmac_key": {
                        "label": "Webhook key",
                        "description": "The account's key with which kie.ai signs callbacks; if set, only "
                        "callbacks signed with it are accepted.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "callback_wake": {
                        "label": "What ends a wait on a callback",
                        "description": "'worker': the task is woken at once; 'trigger': it ends in the "
                        "triggerer a second or two later, without a worker, if it can (Airflow 3.3). "
                        "Empty means 'worker'.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["worker", "trigger"],
                            "default": "worker",
                        },
                    },
                    "upload_host": {
                        "label": "Upload URL",
                        "description": "Where files are uploaded; empty means "
                        "https://kieai.redpandaai.co, kie.ai's upload host.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
