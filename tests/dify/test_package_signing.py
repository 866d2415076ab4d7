"""Signatures, with keys that openssl made and openssl's own word on them."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from dify_package.archive import comment_of, packed, unpacked
from dify_package.checks import CHECKS
from dify_package.checksum import checksum
from dify_package.cli import main
from dify_package.package import read_package
from dify_package.rsa import KeyFileError, PrivateKey, PublicKey, read_private_key, read_public_key
from dify_package.signing import VERIFICATION_FILE, SignatureError, sign, verify
from tests.support.plugin_package import plugin_files

NOW = 1_795_000_000
FILES = {"a.txt": b"one", "b/c.txt": b"two"}


class Keys(NamedTuple):
    private_file: Path
    public_file: Path
    private: PrivateKey
    public: PublicKey


def _openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


def _keys(folder: Path, bits: int = 2048) -> Keys:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make keys with")
    private, public = folder / "private.pem", folder / "public.pem"
    _openssl("genrsa", "-traditional", "-out", private, str(bits))
    _openssl("rsa", "-in", private, "-RSAPublicKey_out", "-out", public)
    return Keys(private, public, read_private_key(private.read_text()), read_public_key(public.read_text()))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return _keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return _keys(tmp_path_factory.mktemp("other"))


class TestSigning:
    def test_what_was_signed_verifies_and_tells_when(self, keys: Keys) -> None:
        assert verify(sign(packed(FILES), keys.private, now=NOW), keys.public) == NOW

    def test_openssl_agrees_over_the_bytes_that_the_daemon_hashes(self, keys: Keys, tmp_path: Path) -> None:
        signed = sign(packed(FILES), keys.private, now=NOW)
        verification = b'{"authorized_category":"community"}'
        data = b"".join(hashlib.sha256(content).digest() for content in (b"one", b"two", verification))
        (tmp_path / "data").write_bytes(data + str(NOW).encode())
        comment = json.loads(comment_of(signed))
        (tmp_path / "signature").write_bytes(base64.b64decode(comment["signature"]))
        # dgst wants the other form of the public key
        _openssl("rsa", "-in", keys.private_file, "-pubout", "-out", tmp_path / "spki.pem")

        said = _openssl(
            "dgst", "-sha256", "-verify", tmp_path / "spki.pem", "-signature", tmp_path / "signature", tmp_path / "data"
        )

        assert said.strip() == b"Verified OK"
        assert comment["time"] == NOW
        assert list(unpacked(signed)) == ["a.txt", "b/c.txt", VERIFICATION_FILE]

    def test_signing_again_replaces_the_signature(self, keys: Keys, other_keys: Keys) -> None:
        twice = sign(sign(packed(FILES), keys.private, now=NOW), other_keys.private, now=NOW + 1)
        assert verify(twice, other_keys.public) == NOW + 1
        assert list(unpacked(twice)).count(VERIFICATION_FILE) == 1

    def test_a_signed_package_passes_the_same_checks(self, keys: Keys) -> None:
        package = read_package(sign(packed(plugin_files()), keys.private, now=NOW))
        assert list(CHECKS["zip: order and bytes are fixed"](package)) == []
        assert list(CHECKS["zip: no caches, tests, keys"](package)) == []

    def test_the_category_is_one_that_the_daemon_knows(self, keys: Keys) -> None:
        with pytest.raises(ValueError, match="langgenius, partner, community"):
            sign(packed(FILES), keys.private, now=NOW, category="mine")


class TestRefusing:
    def test_what_is_not_signed(self, keys: Keys) -> None:
        with pytest.raises(SignatureError, match="not signed"):
            verify(packed(FILES), keys.public)

    @pytest.mark.parametrize("comment", [b"{}", b"[]", b'{"signature": "%%", "time": 1}', b'{"signature": ""}'])
    def test_a_comment_that_is_no_signature(self, keys: Keys, comment: bytes) -> None:
        with pytest.raises(SignatureError):
            verify(packed(FILES, comment), keys.public)

    def test_somebody_elses_key(self, keys: Keys, other_keys: Keys) -> None:
        with pytest.raises(SignatureError, match="does not fit"):
            verify(sign(packed(FILES), keys.private, now=NOW), other_keys.public)

    def test_a_changed_file(self, keys: Keys) -> None:
        signed = sign(packed(FILES), keys.private, now=NOW)
        changed = unpacked(signed) | {"a.txt": b"0ne"}
        with pytest.raises(SignatureError, match="does not fit"):
            verify(packed(changed, comment_of(signed)), keys.public)

    def test_a_changed_time(self, keys: Keys) -> None:
        signed = sign(packed(FILES), keys.private, now=NOW)
        comment = json.loads(comment_of(signed)) | {"time": NOW + 1}
        with pytest.raises(SignatureError, match="does not fit"):
            verify(packed(unpacked(signed), json.dumps(comment).encode()), keys.public)


class TestKeyFiles:
    def test_a_private_key_never_shows_itself(self, keys: Keys) -> None:
        assert repr(keys.private) == "PrivateKey(2048 bits)"

    def test_the_newer_form_that_the_daemon_cannot_read_is_refused_here_too(self, keys: Keys) -> None:
        with pytest.raises(KeyFileError, match="RSA PRIVATE KEY"):
            read_private_key(_openssl("pkcs8", "-topk8", "-nocrypt", "-in", keys.private_file).decode())
        with pytest.raises(KeyFileError, match="RSA PUBLIC KEY"):
            read_public_key(_openssl("rsa", "-in", keys.private_file, "-pubout").decode())

    def test_a_public_key_signs_nothing(self, keys: Keys) -> None:
        with pytest.raises(KeyFileError, match="RSA PRIVATE KEY"):
            read_private_key(keys.public_file.read_text())

    def test_a_damaged_file_is_said_to_be_damaged(self, keys: Keys) -> None:
        lines = keys.public_file.read_text().splitlines()
        for damaged in ([lines[0], *lines[2:]], [lines[0], "MAAA", lines[-1]], [lines[0], "A", lines[-1]]):
            with pytest.raises(KeyFileError):
                read_public_key("\n".join(damaged))

    def test_a_short_key_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(KeyFileError, match="too short"):
            _keys(tmp_path, bits=512)


class TestCommand:
    def test_signs_and_verifies_files(self, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        package = tmp_path / "x.difypkg"
        package.write_bytes(packed(FILES))

        assert main(["sign", str(package), "--key", str(keys.private_file)]) == 0
        assert main(["verify", str(tmp_path / "x.signed.difypkg"), "--key", str(keys.public_file)]) == 0
        assert "signed at 20" in capsys.readouterr().out
        assert checksum(unpacked(package.read_bytes())) == checksum(FILES)

    def test_says_in_one_line_what_is_wrong(
        self, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        package = tmp_path / "x.difypkg"
        package.write_bytes(packed(FILES))

        assert main(["verify", str(package), "--key", str(keys.public_file)]) == 1
        assert capsys.readouterr().err == "verify: the package is not signed\n"
        assert main(["sign", str(package), "--key", str(tmp_path / "none.pem")]) == 1
        package.write_bytes(b"no zip")
        assert main(["verify", str(package), "--key", str(keys.public_file)]) == 1
        assert "not a zip" in capsys.readouterr().err
