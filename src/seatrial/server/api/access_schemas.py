"""The shapes of what is asked and answered about accounts and keys."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from seatrial.server.access.principal import Kind, Role, Scope
from seatrial.server.services.keys import KEY_NAME, LONGEST_OVERLAP_SECONDS, OVERLAP_SECONDS

Email = Annotated[str, StringConstraints(max_length=254)]
Password = Annotated[str, StringConstraints(max_length=1024)]
Token = Annotated[str, StringConstraints(max_length=4096)]
RateText = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}/(second|minute|hour|day)$")]
KeyName = Annotated[str, StringConstraints(pattern=f"^{KEY_NAME}$")]


class _Document(BaseModel):
    """What is asked: nothing more than its members, so that what nobody may set is told to whoever tries."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CredentialsView(_Document):
    """Who somebody is, and what they know."""

    email: Email
    password: Password = Field(description="8 to 128 characters; any of them.")


class RefreshView(_Document):
    """A refresh token."""

    refresh_token: Token


class PasswordView(_Document):
    """Another password."""

    old_password: Password
    new_password: Password = Field(description="8 to 128 characters; any of them.")


class AcceptedView(_Answer):
    """What is answered whether or not the address had an account already."""

    status: Literal["accepted"] = "accepted"
    detail: str = Field(description="What to do next.")


class TokensView(_Answer):
    """Tokens: the access token is sent as `Authorization: Bearer`, the refresh token exchanged, once, for new ones."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a kind
    expires_in: int = Field(description="Seconds that the access token is good for.")
    refresh_token: str


class MeView(_Answer):
    """Who is asking."""

    name: str = Field(description="What the ledger and the audit call them.")
    kind: Kind
    role: Role | None = Field(description="Of an account.")
    scopes: list[Scope]


class NewKeyView(_Document):
    """What a key is to be."""

    name: KeyName = Field(description="For people: what uses it.")
    scopes: list[Scope] = Field(min_length=1)
    expires_at: AwareDatetime | None = Field(None, strict=False, description="RFC 3339; without it, never.")
    rate_limit: RateText | None = Field(None, description="Such as `600/minute`; without it, the server's.")
    concurrency_limit: int | None = Field(None, ge=1, le=100_000, description="Calls at once; without it, any.")


class RotateView(_Document):
    """How long the old key is still good."""

    overlap_seconds: float = Field(OVERLAP_SECONDS, ge=0, le=LONGEST_OVERLAP_SECONDS, strict=False)


class KeyView(_Answer):
    """A key, without what makes it one."""

    key_id: str
    name: str
    owner: str | None = Field(description="The id of the account; none, the operator.")
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None = Field(description="To within a minute.")
    rate_limit: str | None
    concurrency_limit: int | None


class MadeKeyView(KeyView):
    """A new key. `key` is told only here."""

    key: str


class JwksView(_Answer):
    """Public keys as JWKs."""

    keys: list[dict[str, Any]]
