"""The address of a submission cannot be guessed, forged or read."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest

from airflow_provider_runway.submissions.tokens import PREFIX, Recipient, has_form, recipient_of

TRY = UUID("0196f1a2-3b4c-7d5e-8f60-718293a4b5c6")
DIGEST = "ab" * 32
KEY = "sk-a-key"


def token_of(recipient: Recipient, conn_id: str = "runway_default", key: str = KEY) -> str:
    return recipient.url("https://airflow.example", conn_id, key).rpartition("/")[2]


def test_an_address_leads_back_to_its_submission() -> None:
    recipient = Recipient.of(TRY, DIGEST)
    url = recipient.url("https://airflow.example/prefix/", "runway/marketing é", KEY)
    assert url.startswith(f"https://airflow.example/prefix{PREFIX}/runway%2Fmarketing%20%C3%A9/")
    assert recipient_of(url.rpartition("/")[2], "runway/marketing é", KEY) == recipient


def test_two_submissions_of_the_same_request_have_two_addresses() -> None:
    assert Recipient.of(TRY, DIGEST) != Recipient.of(TRY, DIGEST)


def test_it_holds_neither_the_key_nor_the_digest() -> None:
    token = token_of(Recipient.of(TRY, DIGEST))
    signed = base64.urlsafe_b64decode(token + "==")
    assert KEY.encode() not in signed
    assert bytes.fromhex(DIGEST)[:5] not in signed
    assert len(token) == 54


@pytest.mark.parametrize("position", range(54))
def test_a_changed_character_makes_it_worthless(position: int) -> None:
    token = token_of(Recipient.of(TRY, DIGEST))
    for other in "AZaz09-_":
        changed = token[:position] + other + token[position + 1 :]
        if changed != token:
            assert recipient_of(changed, "runway_default", KEY) is None


@pytest.mark.parametrize(("conn_id", "key"), [("another", KEY), ("runway_default", "another"), ("", "")])
def test_it_is_of_one_connection_and_one_key(conn_id: str, key: str) -> None:
    assert recipient_of(token_of(Recipient.of(TRY, DIGEST)), conn_id, key) is None


@pytest.mark.parametrize("text", ["", "A" * 53, "A" * 55, "=" * 54, "é" * 54, "A" * 53 + "\n", "../" * 18])
def test_what_has_another_form_is_none(text: str) -> None:
    assert not has_form(text)
    assert recipient_of(text, "runway_default", KEY) is None


def test_the_name_that_is_noted_is_no_address() -> None:
    recipient = Recipient.of(TRY, DIGEST)
    assert recipient.name == f"{TRY.hex}-{recipient.mark}"
    assert token_of(recipient) not in recipient.name
