"""The page, in a real browser: it shows what it is given, asks nobody else, and lets nothing become markup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.server.page import read_page
from tests.server.browser import Tab, a_tab
from tests.server.office import TOKEN, Office, a_desk, a_record


def test_the_page_needs_nothing_but_itself() -> None:
    page = read_page()

    assert "http://" not in page.html.replace("http://www.w3.org/", "")
    assert "https://" not in page.html
    assert " style=" not in page.html
    assert "innerHTML" not in page.html
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


async def enter(tab: Tab, token: str) -> None:
    await tab.until("document.readyState === 'complete' && !document.getElementById('door').hidden")
    await tab.script(f"document.getElementById('token').value = {token!r}; document.forms[0].requestSubmit()")


@pytest.mark.browser
async def test_an_operator_sees_spend_budgets_backends_and_why_a_request_went_where_it_went() -> None:
    office = Office()
    office.recent.add(replace(a_record(20), request_id="req-x", team="<img src=x onerror=alert(1)>"))
    async with a_desk(office) as desk, a_tab(f"{desk.url}/") as tab:
        await enter(tab, "a-wrong-token-of-some-length")
        await tab.until("!document.getElementById('refusal').hidden")
        refused = tab.problems.copy()
        tab.problems.clear()

        await enter(tab, TOKEN)
        await tab.until("document.querySelectorAll('.tile').length === 6")
        text = await tab.script("document.body.innerText")

        assert all("401" in problem for problem in refused)
        for expected in (
            "Spent",
            "Saved",
            "Energy",
            "Carbon",
            "SLA met",
            "support-month",
            "gpu-a",
            "402 budget denied",
        ):
            assert expected in text
        assert "<img src=x onerror=alert(1)>" in text
        assert await tab.script("document.querySelectorAll('main img').length") == 0

        await tab.until("document.querySelectorAll('path.curve').length === 3")
        await tab.script("explain('req-3')")
        await tab.until("document.getElementById('decision').open")
        assert "misses sla" in await tab.script("document.getElementById('decision').innerText")

        await tab.script("document.getElementById('leave').click()")
        assert await tab.script("sessionStorage.length") == 0
        assert tab.problems == []
