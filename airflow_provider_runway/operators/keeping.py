"""What a stored video leaves behind in Airflow: XComs, events of assets, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_runway.compat import BaseOperator

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context
    from airflow_provider_runway.files.keeping import Kept

#: XCom keys of a stored video.
KEPT_KEYS = ("path", "size", "sha256")


class KeepingOperator(BaseOperator):
    """What operators share that store a video."""

    _kept: Kept | None = None

    def announce(self, context: Context, kept: Kept) -> str:
        """
        Push the XComs of a stored video, let the events of the task's ``outlets`` carry its manifest as their
        ``extra``, and return its path. An alias of assets gets the stored file as its asset.

        :param context: The Airflow context.
        :param kept: What was stored.
        """
        from airflow_provider_runway.compat import Asset, AssetAlias, AssetRef

        self._kept = kept
        ti: Any = context["ti"]
        for key in KEPT_KEYS:
            ti.xcom_push(key=key, value=getattr(kept, key))
        for outlet in self.outlets or ():
            # Others are for lineage alone, as OpenLineage's files and tables: Airflow has no events of them.
            if isinstance(outlet, AssetAlias):
                asset = Asset(uri_of(kept.path))
                context["outlet_events"][outlet].add(asset, extra=dict(kept.manifest))
            elif isinstance(outlet, Asset | AssetRef):
                context["outlet_events"][outlet].extra.update(kept.manifest)
        return kept.path

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """
        Return the lineage that OpenLineage's provider asks for when the task is done: from kie.ai's URL to
        the stored file. ``None`` where nothing was stored.

        :param task_instance: The Airflow task instance.
        """
        kept = self._kept
        if kept is None:
            return None
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import Dataset

        source = kept.manifest.get("video_url")
        return OperatorLineage(
            inputs=[_dataset(Dataset, source)] if source else [],
            outputs=[_dataset(Dataset, uri_of(kept.path))],
        )


def uri_of(path: str) -> str:
    """
    Return the URI of a stored file, without the connection that it is reached with.

    :param path: A local path or a URI for ``ObjectStoragePath``.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        return f"file://{_quoted(path)}"
    place, slash, key = rest.partition("/")
    # What is before the "@" of S3, GCS and their like is Airflow's connection; Azure's is a container.
    if not scheme.startswith("abfs"):
        place = place.rpartition("@")[2]
    return f"{scheme}://{place}{slash}{_quoted(key)}"


def _quoted(path: str) -> str:
    # Whatever may stand in the path of a URI stays (RFC 3986, 3.3), such as the signs of a run ID.
    return quote(path, safe="/:@!$&'()*+,;=")


def _dataset(kind: Any, uri: str) -> Any:
    """Name a file as OpenLineage's conventions do: the store as the namespace, and the key in it."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return kind(namespace="file", name=unquote(parts.path))
    name = parts.path if parts.scheme.startswith("http") else unquote(parts.path).lstrip("/")
    return kind(namespace=f"{parts.scheme}://{parts.hostname or parts.netloc}", name=name or "/")
