"""OpenSSF model signing, its only home: a version's manifest is signed where it is registered, verified before it is served.

Off until the setting NEXTCLICK_SIGNING_KEY names a private key; the public key lies beside it, as <name>.pub:

    openssl ecparam -name prime256v1 -genkey -noout -out signing.pem
    openssl ec -in signing.pem -pubout -out signing.pub

The signature (a Sigstore bundle, 1.3 KB) is a tag of the version. The manifest lists the SHA-256 of every file, and its
text follows from the hashes in the tags: verifying reads no artifact. A machine that only publishes needs the public key.
By hand: `model_signing verify key manifest.json --signature FILE --public-key signing.pub`, FILE holding the tag.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import DataError, ParamsError
from pipelines.stores import manifest
from pipelines.stores.settings import settings

TAG = "signature"
MAKE = (
    "make a pair: openssl ecparam -name prime256v1 -genkey -noout -out signing.pem; "
    "openssl ec -in signing.pem -pubout -out signing.pub; or unset NEXTCLICK_SIGNING_KEY"
)


def sign(path: Path) -> dict[str, str]:
    """The tag with the signature of a manifest; nothing if signing is off. ParamsError if the key cannot be used."""
    if not settings().signing_key:
        return {}
    from model_signing import signing

    key = _key()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / TAG
        try:
            signing.Config().use_elliptic_key_signer(private_key=key).sign(path, made)
        except (OSError, ValueError, TypeError, AttributeError) as error:  # no such file, no PEM, encrypted, no elliptic curve
            raise ParamsError("the manifest cannot be signed", f"NEXTCLICK_SIGNING_KEY={key}: {error}", MAKE) from None
        return {TAG: made.read_text(encoding="utf-8")}


def verify(hashes: Mapping[str, str], signature: str | None, origin: str) -> None:
    """The owner of the key has signed exactly these files. DataError if not; nothing is asked if signing is off.

    hashes     SHA-256 of each file, the manifest's own included, as the registry keeps them
    signature  what `sign` gave; None if the version has none
    origin     which version, for the message
    """
    if not settings().signing_key:
        return
    next_step = "register the model again with NEXTCLICK_SIGNING_KEY set, and find out who made this version"
    if signature is None:
        raise DataError("the version is not signed", origin, next_step)
    text = manifest.text({name: value for name, value in hashes.items() if name != manifest.MANIFEST})
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    key = _key().with_suffix(".pub")
    with tempfile.TemporaryDirectory() as folder:
        listed, bundle = Path(folder) / manifest.MANIFEST, Path(folder) / TAG
        listed.write_text(text, encoding="utf-8")
        bundle.write_text(signature, encoding="utf-8")
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
        except (OSError, ValueError, AttributeError) as error:
            raise ParamsError("the public key cannot be read", f"{key}: {error}", MAKE) from None
        try:
            verifier.verify(listed, bundle)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, InvalidSignature) as error:
            said = " ".join(str(error).split())[:300] or "the signature is not that of this manifest"
            raise DataError("the version is not signed by the owner of the key", f"{origin}: {said}", next_step) from None
    if manifest.digest(text) != hashes.get(manifest.MANIFEST):
        raise DataError("the registry's hashes do not make the manifest that was registered", origin, next_step)


def _key() -> Path:
    """A relative path is one from the project's root: runs have folders of their own."""
    return settings().root / Path(settings().signing_key).expanduser()
