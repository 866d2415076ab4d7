"""The command line of the packaging."""

import argparse
import sys
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from .archive import unpacked
from .build import PackageTooLargeError, build, identifier
from .checks import Finding
from .contents import PLUGIN, ROOT
from .pinning import with_pins
from .rsa import KeyFileError, read_private_key, read_public_key
from .signing import CATEGORIES, SignatureError, sign, verify
from .validate import is_good, lines, validate
from .variant import VARIANTS

_FAILURES = (OSError, UnicodeError, zlib.error, zipfile.BadZipFile, PackageTooLargeError, KeyFileError, SignatureError)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except _FAILURES as failure:
        print(f"{options.command}: {failure}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dify_package", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="make the package")
    building.add_argument("--out", type=Path, default=ROOT / "dist")
    building.add_argument("--with", dest="variant", choices=VARIANTS, help="with this store's client, which is large")
    building.add_argument("--check", action="store_true", help="and say what validate says")
    building.set_defaults(run=_build)
    validating = commands.add_parser("validate", help="would the daemon and the marketplace take it?")
    validating.add_argument("package", type=Path)
    validating.add_argument("--python", type=Path, help="one that has the package's requirements: the SDK reads it too")
    validating.set_defaults(run=_validate)
    pinning = commands.add_parser("pin", help="write the versions of requirements.txt into pyproject.toml")
    pinning.set_defaults(run=_pin)
    signing = commands.add_parser("sign", help="sign a package with your own key (PKCS #1, RSA)")
    signing.add_argument("package", type=Path)
    signing.add_argument("--key", type=Path, required=True, help="the private key's PEM file")
    signing.add_argument("--out", type=Path, help="where to; else NAME.signed.difypkg beside it")
    signing.add_argument("--category", choices=CATEGORIES, default="community")
    signing.set_defaults(run=_sign)
    verifying = commands.add_parser("verify", help="is it signed with this key, and unchanged since?")
    verifying.add_argument("package", type=Path)
    verifying.add_argument("--key", type=Path, required=True, help="the public key's PEM file")
    verifying.set_defaults(run=_verify)
    return parser


def _build(options: argparse.Namespace) -> int:
    path = build(options.out, variant=options.variant)
    data = path.read_bytes()
    print(f"{path}  {len(data):,} bytes")
    print(identifier(unpacked(data)))
    return _told(validate(path)) if options.check else 0


def _validate(options: argparse.Namespace) -> int:
    return _told(validate(options.package, options.python))


def _told(findings: list[Finding]) -> int:
    print("\n".join(lines(findings)))
    return 0 if is_good(findings) else 1


def _pin(_: argparse.Namespace) -> int:
    project = PLUGIN / "pyproject.toml"
    requirements = (PLUGIN / "requirements.txt").read_text(encoding="utf-8")
    project.write_text(with_pins(project.read_text(encoding="utf-8"), requirements), encoding="utf-8")
    return 0


def _sign(options: argparse.Namespace) -> int:
    package: Path = options.package
    out = options.out or package.with_suffix(".signed.difypkg")
    key = read_private_key(options.key.read_text(encoding="ascii"))
    out.write_bytes(sign(package.read_bytes(), key, now=int(time.time()), category=options.category))
    print(f"{out}  signed")
    return 0


def _verify(options: argparse.Namespace) -> int:
    key = read_public_key(options.key.read_text(encoding="ascii"))
    signed_at = verify(options.package.read_bytes(), key)
    print(f"{options.package}  signed at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(signed_at))}")
    return 0
