"""What is valid in the settings and yet may not be what was meant."""

from collections.abc import Iterator

from listener.notify.settings import NotifySettings
from listener.scu.settings import DestinationSettings
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
    """Whose files of TLS or secrets this account cannot use; each is only missed when there is something to send."""
    places: tuple[DestinationSettings | NotifySettings, ...] = (*settings.destinations, *settings.notify)
    encrypted = [place for place in places if place.tls or place.url.startswith("https:")]
    signed = [place for place in settings.notify if place.kind == "webhook"]
    if not encrypted and not signed:
        return
    # Imported here: else no command that reads the settings needs them.
    from listener.notify.answers import of_receiver
    from listener.notify.webhook import SECRET_UNUSABLE, has_a_secret
    from listener.scu.tls import TlsFilesUnusable, client_context
    from listener.scu.verdict import no_answer_note

    for place in encrypted:
        try:
            client_context(place)
        except TlsFilesUnusable as unusable:
            note = no_answer_note(unusable.why)
            note = of_receiver(note) if place in settings.notify else note
            yield f"Nothing can be sent to {place.name}: {note}"
    for receiver in signed:
        if not has_a_secret(receiver):
            yield f"Nothing can be sent to {receiver.name}: {SECRET_UNUSABLE.sentence}"
