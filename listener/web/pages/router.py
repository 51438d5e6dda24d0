"""All pages of the dashboard."""

import threading

from fastapi import APIRouter

from listener.web.login import AccountGate
from listener.web.pages.agreement_page import agreement_router
from listener.web.pages.algorithm_pages import algorithm_router
from listener.web.pages.assets_route import assets_router
from listener.web.pages.audit_page import audit_router
from listener.web.pages.desk import Desk
from listener.web.pages.feedback_pages import feedback_router
from listener.web.pages.forms import MAXIMUM_FORM_BYTES
from listener.web.pages.job_pages import job_router
from listener.web.pages.live import live_router
from listener.web.pages.login_page import login_router
from listener.web.pages.monitoring_page import monitoring_router
from listener.web.pages.overview_page import overview_router
from listener.web.pages.study_pages import study_router
from listener.web.pages.user_pages import user_router


def dashboard_router(desk: Desk, gate: AccountGate, stopping: threading.Event) -> APIRouter:
    """Every page, its assets and its events; ``stopping`` ends the streams of open pages."""
    router = APIRouter(include_in_schema=False)
    for part in (
        login_router(desk, gate),
        overview_router(desk),
        study_router(desk),
        feedback_router(desk),
        job_router(desk),
        algorithm_router(desk),
        monitoring_router(desk),
        agreement_router(desk),
        audit_router(desk),
        user_router(desk),
        live_router(desk, gate, stopping),
        assets_router(),
    ):
        router.include_router(part, max_body_size=MAXIMUM_FORM_BYTES)
    return router
