"""Backends of the settings, with their profiles and sites, as what the pipeline routes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.bootstrap import settings as declared
from gateway.bootstrap.profiles import Shelf
from gateway.bootstrap.settings import SettingsFile
from gateway.domain.catalog import Backend, Member, Timeouts
from gateway.domain.faults import BadDocument
from gateway.domain.price import ListPrice
from gateway.domain.site import Site
from gateway.feeds.grid import Grid
from gateway.feeds.prices import list_price, why_unpriced
from gateway.metering.pricing import compile_rates
from gateway.metering.profiles import Profile

ANSWER_TOKENS_MAX = 4_096  # where neither file nor profile bounds an answer


def sites_of(file: SettingsFile) -> Mapping[str, Site]:
    """Sites by name."""
    return {
        site.name: Site(
            name=site.name,
            pue=site.pue,
            usd_per_kwh=site.usd_per_kwh,
            zone=site.zone,
            power_cap_watts=site.power_cap_watts,
            grid_g_per_kwh=site.grid_g_per_kwh,
            grid_source=site.grid_source,
        )
        for site in file.settings.sites
    }


def backends_of(file: SettingsFile) -> Mapping[str, Backend]:
    """Backends by name. Secrets leave their wrapping here, and only here."""
    return {backend.name: _backend(file, backend) for backend in file.settings.backends}


def _backend(file: SettingsFile, backend: declared.Backend) -> Backend:
    return Backend(
        name=backend.name,
        url=backend.url,
        dialect=backend.dialect,
        site=backend.site,
        api_key=None if backend.api_key is None else backend.api_key.get_secret_value(),
        headers=tuple((name.lower(), value.get_secret_value()) for name, value in backend.headers.items()),
        on_disconnect=backend.on_disconnect,
        resend_after_send=backend.resend_after_send,
        timeouts=Timeouts(**backend.timeouts.model_dump()),
        concurrent_max=backend.limits.concurrent,
        ca_file=None if backend.ca_file is None else str(file.place(backend.ca_file)),
        simulated=backend.simulated,
    )


@dataclass(frozen=True, slots=True)
class MemberBuilder:
    """Makes members; `today` is the day whose list prices hold."""

    file: SettingsFile
    shelf: Shelf
    grid: Grid
    today: date

    def members(self) -> Mapping[str, Member]:
        """Members by `backend/model`. Raises BadDocument with file and line, all faults at once."""
        members: dict[str, Member] = {}
        faults: list[str] = []
        sites = sites_of(self.file)
        for index, backend in enumerate(self.file.settings.backends):
            for name, model in backend.models.items():
                try:
                    member = self._member(backend, name, model, sites.get(backend.site or ""))
                except BadDocument as bad:
                    faults.append(self._placed(index, name, model, str(bad)))
                else:
                    members[member.name] = member
        if faults:
            raise BadDocument("\n".join(faults))
        return members

    def _member(self, backend: declared.Backend, name: str, model: declared.Model, site: Site | None) -> Member:
        profile = self.shelf.find(model.profile or backend.profile or "").profile
        factor = self.grid.factor(site.zone) if site is not None else None
        return Member(
            name=f"{backend.name}/{name}",
            backend=backend.name,
            upstream_model=model.upstream or name,
            rates=compile_rates(profile, site, factor, list_price=self._list_price(profile)),
            latency=profile.latency,
            encoding=model.encoding or profile.tokenizer,
            capabilities=profile.capabilities,
            context_tokens_max=model.context_tokens_max or profile.performance.max_context,
            output_tokens_max=model.output_tokens_max or profile.performance.max_output or ANSWER_TOKENS_MAX,
            tier=model.tier,
            max_tokens_field=model.max_tokens_field,
            drop_fields=model.drop_fields,
            supports_include_usage=model.include_usage,
        )

    def _list_price(self, profile: Profile) -> ListPrice | None:
        reference = profile.price.genai_prices if profile.price is not None else None
        if reference is None:
            return None
        found = list_price(reference.provider, reference.model, self.today)
        if found is None:
            raise BadDocument(f"profile {profile.id}: {why_unpriced(reference.provider, reference.model)}")
        return found

    def _placed(self, index: int, name: str, model: declared.Model, what: str) -> str:
        """The fault with the line that names the profile; a fault inside a profile names its own file already."""
        if ":" in what.split(" ", 1)[0]:
            return what
        inner = ("models", name, "profile") if model.profile else ("profile",)
        return self.file.source.fault(("backends", index, *inner), what)
