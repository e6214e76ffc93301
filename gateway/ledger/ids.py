"""Request ids. They carry the ledger's time, so a step that comes after its row was forgotten is known to be late."""

from __future__ import annotations

from gateway.domain.tenancy import ID_PATTERN

TIME_DIGITS = 12  # hexadecimal milliseconds since 1970: enough until the year 10889
ENTROPY_BYTES_MIN, ENTROPY_BYTES_MAX = 8, 26


def new_id(now_ms: int, entropy: bytes) -> str:
    """An id of that time (the ledger's `now_ms`, never our own clock) in `[A-Za-z0-9_-]{1,64}`; ids sort by time.

    entropy: 8 to 26 random bytes; 10 make a collision within one millisecond as unlikely as it need be.
    """
    if not ENTROPY_BYTES_MIN <= len(entropy) <= ENTROPY_BYTES_MAX:
        raise ValueError(f"{len(entropy)} bytes of entropy; use {ENTROPY_BYTES_MIN} to {ENTROPY_BYTES_MAX}")
    return f"{now_ms:0{TIME_DIGITS}x}{entropy.hex()}"


def time_of(request_id: str) -> int:
    """The milliseconds an id carries. Raises ValueError for an id that `new_id` did not make."""
    if ID_PATTERN.match(request_id) is None:
        raise ValueError("an id is 1 to 64 of A-Z, a-z, 0-9, _ and -")
    return int(request_id[:TIME_DIGITS], 16)
