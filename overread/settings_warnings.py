"""What is valid in the settings and yet may not be what was meant."""

from collections.abc import Iterator

from overread.settings import Settings


def warnings_of(settings: Settings) -> Iterator[str]:
    """Sentences for an administrator; nothing is refused because of them."""
    if settings.jobs.not_analysed != "never":
        yield from _not_told(settings)
    yield from _unusable_files(settings)


def _not_told(settings: Settings) -> Iterator[str]:
    for profile in settings.profiles:
        if not profile.viewer_profile().is_told_of_no_result:
            yield (
                f"The [[profiles]] entry {profile.name} has no basic-text in its report, so its destinations are not "
                'told when an algorithm comes to no result ("Not analysed"); add "basic-text" at the end of report.'
            )


def _unusable_files(settings: Settings) -> Iterator[str]:
    """Destinations whose files of TLS this account cannot use; each is only missed when there is something to send."""
    encrypted = [place for place in settings.destinations if place.tls or place.url.startswith("https:")]
    if not encrypted:
        return
    # Imported here: else no command that reads the settings needs them.
    from listener.scu.tls import TlsFilesUnusable, client_context
    from listener.scu.verdict import no_answer_note

    for place in encrypted:
        try:
            client_context(place)
        except TlsFilesUnusable as unusable:
            yield f"Nothing can be sent to {place.name}: {no_answer_note(unusable.why)}"
