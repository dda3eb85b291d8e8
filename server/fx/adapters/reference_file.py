"""Reference rates from a file on this machine, or from an address that serves one."""

import asyncio
from pathlib import Path
from typing import Final

import httpx

from server.fx.provider import RateProvider, RateSheet, RatesUnavailable
from server.fx.rate_file import FILE_BYTES_MAX, RateFileInvalid, read_rate_file

FETCH_WITHIN_S: Final = 8.0
_REDIRECTS_MAX: Final = 3


class RatesFromFile:
    """Reads the same path each time; whoever delivers the file replaces it whole."""

    name = "reference_file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self) -> RateSheet:
        return _read(await asyncio.to_thread(self._load), str(self._path))

    def _load(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise RatesUnavailable(f"{self._path}: {error.strerror}") from error


class RatesFromUrl:
    """Fetches the file over HTTP, whole and in time or not at all."""

    name = "reference_file"

    def __init__(self, url: str, *, within_s: float = FETCH_WITHIN_S) -> None:
        self._url = url
        self._within_s = within_s

    async def fetch(self) -> RateSheet:
        try:
            async with asyncio.timeout(self._within_s):
                return _read(await self._load(), self._url)
        except TimeoutError as error:
            raise RatesUnavailable(f"{self._url}: no answer in {self._within_s} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RatesUnavailable(f"{self._url}: {type(error).__name__}") from error

    async def _load(self) -> bytes:
        client = httpx.AsyncClient(
            timeout=self._within_s,
            follow_redirects=True,
            max_redirects=_REDIRECTS_MAX,
            # Read as it comes: what is small must not become large by being unpacked.
            headers={"Accept-Encoding": "identity"},
        )
        async with client, client.stream("GET", self._url) as response:
            if response.status_code != httpx.codes.OK:
                raise RatesUnavailable(f"{self._url}: status {response.status_code}")
            data = bytearray()
            async for part in response.aiter_raw():
                data += part
                if len(data) > FILE_BYTES_MAX:
                    break
            return bytes(data)


def provider_of(source: str) -> RateProvider | None:
    """Return the provider that a setting names: a path, an http(s) address, or nothing."""
    if not source:
        return None
    if source.startswith(("http://", "https://")):
        return RatesFromUrl(source)
    return RatesFromFile(Path(source))


def _read(data: bytes, origin: str) -> RateSheet:
    try:
        return read_rate_file(data)
    except RateFileInvalid as error:
        raise RatesUnavailable(f"{origin}: {error}") from error
