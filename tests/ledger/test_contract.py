"""The contract, on every ledger there is (see the fixture `world`)."""

from __future__ import annotations

from tests.ledger import contract


class TestReserving(contract.Reserving): ...


class TestSettling(contract.Settling): ...


class TestReleasing(contract.Releasing): ...


class TestRepeating(contract.Repeating): ...


class TestExpiring(contract.Expiring): ...


class TestFinding(contract.Finding): ...
