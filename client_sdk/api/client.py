"""The HTTP client: signed calls, retries with back-off, tokens kept fresh.

Only calls that are safe to repeat are repeated: reads, and writes that carry an idempotency key or
are idempotent by contract. What the state of this client needs to survive a crash (tokens, clock
offset) is handed to `Memory` before it is used.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, Protocol

import httpx

from client_sdk.ambient import Clock, Entropy
from client_sdk.api.auth import Session, make_proof
from client_sdk.api.documents import Document
from client_sdk.api.problems import RETRYABLE_STATUS, UNAUTHENTICATED, document_of, error_of
from client_sdk.errors import ServerUnavailable, SignInNeeded
from offline_protocol.keys import Signer

TRIES: Final = 5
BACK_OFF_SECONDS: Final = 0.2
BACK_OFF_SECONDS_MAX: Final = 10.0
REFRESH_AHEAD_SECONDS: Final = 30
TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
CALL_SECONDS: Final = 60.0
"""One call with its answer, however the bytes trickle in."""
ANSWER_BYTES_MAX: Final = 8 << 20
"""Several times the longest answer, that of a sync."""

Sleep = Callable[[float], Awaitable[None]]


class Memory(Protocol):
    """Where the client keeps what must outlive the process."""

    def session(self) -> Session | None: ...

    def save_session(self, session: Session) -> None: ...

    def clock_offset(self) -> int: ...

    def save_clock_offset(self, seconds: int) -> None: ...


class ApiClient:
    """Calls to one server on behalf of one wallet.

    Args:
        base_url: scheme, host and optional path prefix, such as "https://pay.example".
        signer: the device key.
        memory: session and clock offset.
        clock: the device's own time; the learnt offset is added to it.
        entropy: ids of proofs and jitter of the back-off.
        transport: replaces the network, for tests in one process.
        sleep: waits between tries.

    Raises:
        ServerUnavailable: the address is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        signer: Signer,
        memory: Memory,
        clock: Clock,
        entropy: Entropy,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._base_url = _checked(base_url)
        self._signer = signer
        self._memory = memory
        self._clock = clock
        self._entropy = entropy
        self._sleep = sleep
        self._http = httpx.AsyncClient(timeout=TIMEOUT, transport=transport)
        self._refreshing = asyncio.Lock()

    async def close(self) -> None:
        await self._http.aclose()

    async def get(
        self, path: str, *, query: Mapping[str, str] | None = None, public: bool = False
    ) -> Document:
        return await self._call("GET", path, query=query, public=public, repeat=True)

    async def post(
        self,
        path: str,
        body: Document | None = None,
        *,
        idempotency_key: str | None = None,
        repeat: bool = False,
        public: bool = False,
    ) -> Document:
        """Send one command.

        Args:
            path: below the base address, starting with a slash.
            body: JSON object, or None for no body.
            idempotency_key: makes the server recognise a repetition; allows retries.
            repeat: the call is idempotent by contract; allows retries.
            public: needs no sign-in.

        Raises:
            ServerRefused: the server said no; nothing was done.
            ServerUnavailable: no usable answer; the outcome is unknown.
        """
        return await self._call(
            "POST",
            path,
            body=body,
            idempotency_key=idempotency_key,
            repeat=repeat or idempotency_key is not None,
            public=public,
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Document | None = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        repeat: bool,
        public: bool,
    ) -> Document:
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Accept": "application/json"}
        if content:
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        session = None if public else await self._fresh_session()
        tries = TRIES if repeat else 1
        mends: set[str] = set()
        attempt = 0
        while True:
            attempt += 1
            # A proof is good for one delivery, so every attempt signs a new one.
            signed = {**headers, **self._authorisation(session, method, path, content)}
            try:
                response = await self._deliver(method, path, content, signed, query)
            except ServerUnavailable:
                if attempt < tries:
                    await self._sleep(self._pause(attempt, None))
                    continue
                raise
            if response.is_success:
                return document_of(response)
            if response.status_code in RETRYABLE_STATUS and attempt < tries:
                await self._sleep(self._pause(attempt, response.headers.get("Retry-After")))
                continue
            if not await self._mend(response, session, mends):
                raise error_of(response)
            session = session and self._memory.session()

    async def _deliver(
        self,
        method: str,
        path: str,
        content: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Make one call and read its answer, within bounds of time and size.

        Raises:
            ServerUnavailable: no answer, one that is too long, or too slow.
        """
        url, body = self._base_url + path, bytearray()
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._http.stream(
                    method, url, params=query, content=content, headers=headers
                ) as response,
            ):
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES_MAX:
                        raise ServerUnavailable(f"The answer of {self._base_url} is too long.")
        except (httpx.HTTPError, TimeoutError) as error:
            reason = "too slow" if isinstance(error, TimeoutError) else type(error).__name__
            raise ServerUnavailable(
                f"The server at {self._base_url} gave no answer ({reason})."
            ) from error
        wait = response.headers.get("Retry-After")
        kept = {"Retry-After": wait} if wait and wait.isascii() else {}
        return httpx.Response(response.status_code, headers=kept, content=bytes(body))

    async def _mend(
        self, response: httpx.Response, session: Session | None, done: set[str]
    ) -> bool:
        """Put right, once each, what made the server refuse: the clock, or an old access token."""
        code = error_of(response).code
        if code == "proof_out_of_time" and code not in done:
            done.add(code)
            return self._learn_offset(document_of(response).get("server_time"))
        if response.status_code == UNAUTHENTICATED and session and "token" not in done:
            done.add("token")
            await self._refresh(session)
            return True
        return False

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        """Seconds to wait: what the server asks for, else exponential with full jitter."""
        if retry_after is not None and retry_after.isdigit():
            return min(float(retry_after), BACK_OFF_SECONDS_MAX)
        ceiling = min(BACK_OFF_SECONDS * float(2**attempt), BACK_OFF_SECONDS_MAX)
        return ceiling * int.from_bytes(self._entropy(2), "big") / 0xFFFF

    def _authorisation(
        self, session: Session | None, method: str, path: str, content: bytes
    ) -> dict[str, str]:
        if session is None:
            return {}
        if not session.bound:
            return {"Authorization": f"Bearer {session.access_token}"}
        proof = self._proof(method, path, content, session.access_token)
        return {"Authorization": f"DPoP {session.access_token}", "DPoP": proof}

    def _proof(self, method: str, path: str, content: bytes, access_token: str | None) -> str:
        return make_proof(
            self._signer,
            method=method,
            url=self._base_url + path,
            body=content,
            access_token=access_token,
            now=self._now(),
            entropy=self._entropy,
        )

    def _now(self) -> int:
        return self._clock.now() + self._memory.clock_offset()

    def _learn_offset(self, server_time: object) -> bool:
        """Remember how far the device's clock is from the server's; False if that is unreadable."""
        if isinstance(server_time, str):
            try:
                server_time = int(datetime.fromisoformat(server_time).timestamp())
            except ValueError:
                return False
        if type(server_time) is not int:
            return False
        self._memory.save_clock_offset(server_time - self._clock.now())
        return True

    async def _fresh_session(self) -> Session:
        session = self._memory.session()
        if session is None:
            raise SignInNeeded("This wallet is not signed in.", code="sign_in_needed", status=401)
        if session.expires_at <= self._now() + REFRESH_AHEAD_SECONDS:
            return await self._refresh(session)
        return session

    async def _refresh(self, session: Session) -> Session:
        """Exchange the refresh token; the new tokens are durable before anything uses them."""
        async with self._refreshing:
            current = self._memory.session()
            if current is not None and current.access_token != session.access_token:
                return current  # another call was quicker; a refresh token works once
            return await self._exchange_refresh_token(session)

    async def _exchange_refresh_token(self, session: Session) -> Session:
        path, body = "/v1/sessions/refresh", {"refresh_token": session.refresh_token}
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json"}
        for attempt in (1, 2):
            if session.bound:
                headers["DPoP"] = self._proof("POST", path, content, None)
            try:
                response = await self._deliver("POST", path, content, headers)
            except ServerUnavailable:
                if attempt == 1:
                    continue  # a lost answer is given again to the holder of the device key
                raise
            if response.is_success:
                return self.open_session(document_of(response), bound=session.bound)
            refusal = error_of(response)
            if attempt == 1 and refusal.code == "proof_out_of_time":
                self._learn_offset(document_of(response).get("server_time"))
                continue
            raise refusal
        raise AssertionError("the second attempt returns or raises")

    def open_session(self, document: Document, *, bound: bool) -> Session:
        """Store the tokens that a sign-in, an enrolment or a refresh answered with."""
        before = self._memory.session()
        session_id = document.get("session_id", before.session_id if before else "")
        values = [document.get("access_token"), document.get("refresh_token"), session_id]
        lifetime = document.get("expires_in")
        if not all(isinstance(value, str) for value in values) or type(lifetime) is not int:
            raise ServerUnavailable("The server's answer to the sign-in cannot be read.")
        access_token, refresh_token, session_id = map(str, values)
        session = Session(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=self._now() + lifetime,
            session_id=session_id,
            bound=bound,
        )
        self._memory.save_session(session)
        return session


def _checked(address: str) -> str:
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ServerUnavailable(
            f"{address!r} is no address of a server.",
            code="invalid_address",
            fix="Write it like https://pay.example.",
        )
    return address.rstrip("/")
