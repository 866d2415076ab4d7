"""The certificate that both ports show, where the settings name one. It knows no port."""

import ssl
from pathlib import Path

from .settings import Fault, Settings, SettingsError


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """None: the ports speak plain TCP. `SettingsError`: what the settings name cannot be used."""
    files = settings.server.tls
    if not files.cert and not files.key:
        return None
    if not (files.cert and files.key):
        raise _fault(settings, "key" if files.cert else "cert", "is missing", "name both files, or none")
    for name, path in (("cert", files.cert), ("key", files.key)):
        try:
            with Path(path).open("rb"):  # the library does not say which of the two it cannot read
                pass
        except OSError as problem:
            raise _fault(settings, name, f"{path}: {problem.strerror}", "name a file that can be read") from problem
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.cert, files.key, password=str)  # an empty one: never ask at the terminal
    except ssl.SSLError as problem:
        what = f"{files.cert} does not fit {files.key}, or is no certificate ({problem.reason or 'unreadable'})"
        raise _fault(settings, "cert", what, "both are PEM files, the key without a password") from problem
    return context


def _fault(settings: Settings, name: str, what: str, remedy: str) -> SettingsError:
    key = f"server.tls.{name}"
    return SettingsError([Fault(settings.origins.get(key, "settings"), key, what, remedy)])
