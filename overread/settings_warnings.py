"""What is valid in the settings and yet may not be what was meant."""

from collections.abc import Iterator

from overread.settings import Settings


def warnings_of(settings: Settings) -> Iterator[str]:
    """Sentences for an administrator; nothing is refused because of them."""
    if settings.jobs.not_analysed == "never":
        return
    for profile in settings.profiles:
        if not profile.viewer_profile().is_told_of_no_result:
            yield (
                f"The [[profiles]] entry {profile.name} has no basic-text in its report, so its destinations are not "
                'told when an algorithm comes to no result ("Not analysed"); add "basic-text" at the end of report.'
            )
