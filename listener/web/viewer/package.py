"""The files of the prebuilt viewer, which is built for the root of a site, as they are under our prefix."""

import json
import mimetypes
import re
from pathlib import Path

from listener.errors import ListenerError
from listener.web.dicomweb.addresses import VIEWER_DICOMWEB, VIEWER_PREFIX

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".wasm": "application/wasm"}
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Viewer</title>
<link rel="icon" href="{prefix}/assets/favicon.ico">
<script src="{prefix}/app-config.js"></script>
<script defer src="{prefix}/{script}"></script>
<link rel="stylesheet" href="{prefix}/{style}">
</head>
<body><div id="react-portal"></div><div id="root"></div></body>
</html>
"""
_SOURCE = {
    "friendlyName": "Overread",
    "name": "overread",
    "qidoRoot": VIEWER_DICOMWEB,
    "wadoRoot": VIEWER_DICOMWEB,
    "wadoUriRoot": VIEWER_DICOMWEB,
    "qidoSupportsIncludeField": True,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsFuzzyMatching": False,
    "supportsWildcard": True,
    "omitQuotationForMultipartRequest": True,
    "bulkDataURI": {"enabled": True},
    # Of a segmentation as a whole, it reads the bits that two frames share from the wrong end (decision 4); what we
    # serve frame by frame is packed anew.
    "loadMultiframeAsPart10": False,
}
_CONFIG = {
    "routerBasename": VIEWER_PREFIX,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "showErrorDetails": "dev",
    "maxNumberOfWebWorkers": 3,
    "investigationalUseDialog": {"option": "never"},  # our results say it themselves
    "disableConfirmationPrompts": True,  # whoever opens a result wants to see it
    "defaultDataSourceName": "overread",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "overread",
            "configuration": _SOURCE,
        }
    ],
}
# What the viewer's own page would say in scripts of its own, which our Content Security Policy does not let run.
APP_CONFIG = (
    f"window.PUBLIC_URL = {json.dumps(VIEWER_PREFIX + '/')};\n"
    "window.browserImportFunction = name => import(name);\n"
    f"window.config = {json.dumps(_CONFIG)};\n"
).encode()


class ViewerPackage:
    """A folder with the prebuilt viewer; nothing outside it is ever read."""

    def __init__(self, folder: Path) -> None:
        """Raises ListenerError: there is no viewer in the folder."""
        self._folder = folder.absolute()
        scripts, styles = sorted(self._folder.glob("app.bundle.*.js")), sorted(self._folder.glob("app.bundle*.css"))
        if len(scripts) != 1 or len(styles) != 1:
            raise ListenerError(
                f"[web] viewer_folder = {json.dumps(str(folder))} holds no prebuilt OHIF viewer; name the folder "
                "dist of the npm package @ohif/app, or leave viewer_folder empty."
            )
        self.page = _PAGE.format(prefix=VIEWER_PREFIX, script=scripts[0].name, style=styles[0].name).encode()
        self._files = {str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if path.is_file()}

    def file(self, name: str) -> tuple[bytes, str] | None:
        """Content and media type of a file; ``None`` when the package has none of this name."""
        if name not in self._files:
            return None
        path = self._folder / name
        content = path.read_bytes()
        if path.suffix == ".js":
            content = content.replace(b'__webpack_require__.p = "/"', b'__webpack_require__.p = "%s/"' % _PREFIX)
        elif path.suffix == ".css":
            content = re.sub(rb"url\((['\"]?)/(?!/)", rb"url(\1%s/" % _PREFIX, content)
        media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return content, media_type


_PREFIX = VIEWER_PREFIX.encode()
