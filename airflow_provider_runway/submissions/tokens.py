"""The callback URL of one submission: nobody can guess it, and it reveals nothing.

A token names the try of the Airflow task that submits (its ID is new for each try) and the request, and is
signed with what the connection's API key leads to. It holds neither the key nor anything of the prompt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

#: Where the receiver is, below Airflow's base URL.
PREFIX = "/runway-callbacks"

_REQUEST, _NONCE, _SIGNATURE = 4, 4, 16
_BYTES = 16 + _REQUEST + _NONCE + _SIGNATURE
_FORM = re.compile(r"[A-Za-z0-9_-]{54}")


@dataclass(frozen=True)
class Recipient:
    """
    Which submission a callback is about.

    :param task_instance: The ID of the try that made it.
    :param mark: Tells it from other submissions of the same try, in hexadecimal digits.
    """

    task_instance: UUID
    mark: str

    @classmethod
    def of(cls, task_instance: UUID, digest: str) -> Recipient:
        """
        Return the recipient of a new submission.

        :param task_instance: The ID of the current try.
        :param digest: The digest of the request, in hexadecimal digits.
        """
        return cls(task_instance, digest[: 2 * _REQUEST] + secrets.token_hex(_NONCE))

    @property
    def name(self) -> str:
        """What it is noted as; without the key, nobody can make a token of it."""
        return f"{self.task_instance.hex}-{self.mark}"

    @property
    def _identity(self) -> bytes:
        return self.task_instance.bytes + bytes.fromhex(self.mark)

    def url(self, base_url: str, conn_id: str, api_key: str) -> str:
        """
        Return the URL that is given to kie.ai.

        :param base_url: The URL of Airflow's API server, as kie.ai reaches it.
        :param conn_id: The connection's ID.
        :param api_key: Its API key.
        """
        signed = self._identity + _signature(self._identity, conn_id, api_key)
        token = base64.urlsafe_b64encode(signed).decode().rstrip("=")
        return f"{base_url.rstrip('/')}{PREFIX}/{quote(conn_id, safe='')}/{token}"


def has_form(token: str) -> bool:
    """
    Return whether a text can be a token at all, which costs nothing to see.

    :param token: The last part of the address.
    """
    return _FORM.fullmatch(token) is not None


def recipient_of(token: str, conn_id: str, api_key: str) -> Recipient | None:
    """
    Return whom a token is for; ``None`` for one that was not signed with this key.

    :param token: The last part of the address.
    :param conn_id: The connection's ID.
    :param api_key: Its API key.
    """
    if not has_form(token):
        return None
    signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    identity, signature = signed[:-_SIGNATURE], signed[-_SIGNATURE:]
    genuine = hmac.compare_digest(signature, _signature(identity, conn_id, api_key))
    # Of the spellings of the same bytes, one is the token.
    canonical = base64.urlsafe_b64encode(signed).decode().rstrip("=") == token
    if not genuine or not canonical or len(signed) != _BYTES:
        return None
    return Recipient(UUID(bytes=identity[:16]), identity[16:].hex())


def _signature(identity: bytes, conn_id: str, api_key: str) -> bytes:
    key = hashlib.sha256(f"airflow-provider-runway callback 1\0{api_key}".encode()).digest()
    return hmac.new(key, conn_id.encode() + b"\0" + identity, hashlib.sha256).digest()[:_SIGNATURE]
