"""Where a study can be looked at: in the site's viewer, and in the one beside the dashboard, with its result open."""

from collections.abc import Sequence
from dataclasses import dataclass

from listener.web.dicomweb.addresses import VIEWER_PREFIX
from storage.domain.result import EvidenceRole
from storage.ports.facts import Facts

# What is opened first, of the roles that OHIF shows.
_OPENED = (EvidenceRole.SEGMENTATION, EvidenceRole.REPORT, EvidenceRole.SECONDARY_CAPTURE)


@dataclass(frozen=True, slots=True)
class ViewerLink:
    """One link of a study's page."""

    name: str
    address: str
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class ViewerLinks:
    """Makes the links of a study; ``template`` is the site's, ``own`` says that there is a viewer of ours."""

    template: str = ""
    own: bool = False

    def of(self, study_instance_uid: str, results: Sequence[Facts]) -> list[ViewerLink]:
        """The site's viewer first; ``results`` are those of the study, oldest first."""
        found = []
        if self.template:
            address = self.template.replace("{study_instance_uid}", study_instance_uid)
            found.append(ViewerLink("Open in the site's viewer", address, elsewhere=True))
        if self.own:
            found.append(ViewerLink("Open in OHIF", address_in_ohif(study_instance_uid, results), elsewhere=False))
        return found


def address_in_ohif(study_instance_uid: str, results: Sequence[Facts]) -> str:
    """Where OHIF shows a study with its newest result open, or why there is none, below the address of the web door."""
    address = f"{VIEWER_PREFIX}/viewer?StudyInstanceUIDs={study_instance_uid}"
    told = [one for one in results if one["analysed"]] or results
    # An earlier revision may have got its result last.
    evidence = max(told, key=lambda one: (one["revision"], one["result_id"]))["evidence"] if told else []
    for role in _OPENED:
        for one in evidence:
            if one["role"] == role:
                return f"{address}&initialSeriesInstanceUID={one['series_instance_uid']}"
    return address
