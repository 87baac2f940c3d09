"""The programs that the kit starts, and the Debian packages that have them."""

import shutil

from resources.errors import InvalidInput

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-libvirt-exporter": "prometheus-libvirt-exporter",
    "victoria-metrics": "victoria-metrics",
    "openssl": "openssl",
}
"""Program -> Debian package."""


class MissingPackage(InvalidInput):
    """A program is not installed; the message names its package."""


def program(name: str) -> str:
    """Return the path of a program of `PACKAGES`; `MissingPackage` where it is not installed."""
    path = shutil.which(name)
    if path is None:
        package = PACKAGES[name]
        raise MissingPackage(
            f"{name} is not installed. Install the package {package}: apt-get install --no-install-recommends {package}"
        )
    return path


def missing_packages(*programs: str) -> list[str]:
    """Return the packages of those `programs` that are not installed."""
    return sorted({PACKAGES[name] for name in programs if shutil.which(name) is None})
