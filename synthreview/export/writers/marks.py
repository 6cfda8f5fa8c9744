"""Signing what is encoded anew as Content Credentials (C2PA), with a key of the user's.

An original that carries credentials of its provider goes in as the parent, so that its history
is kept and can be checked; another one is said to be made as the manifest tells. No thumbnails.
A signature has the time and random numbers in it: the same image signed twice is not the same
bytes. Source: C2PA technical specification 2.2, sections 18 (actions) and 15 (validation).
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"


class MarkError(ValueError):
    """An image cannot be signed; the message says why, without the key or its place."""


class C2paSigner:
    """One key and its certificates. `sign` may be called by several threads."""

    def __init__(
        self, certificate: str, key: str, algorithm: str = "es256", time_authority: str = ""
    ) -> None:
        """Read the key. Raises OSError, MarkError."""
        try:
            import c2pa
        except ImportError:
            raise MarkError("signing needs a library: pip install synthreview[c2pa]") from None
        self._c2pa = c2pa
        self._lock = threading.Lock()
        info = c2pa.C2paSignerInfo(
            algorithm.encode(),
            Path(certificate).read_bytes(),
            Path(key).read_bytes(),
            time_authority.encode() or None,
        )
        try:
            self._signer = c2pa.Signer.from_info(info)
            self._context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        except c2pa.C2paError as error:
            raise MarkError("the certificate and the key do not make a signature") from error

    def sign(
        self,
        data: bytes,
        media_type: str,
        *,
        title: str,
        source_type: str,
        original: bytes,
        original_type: str,
    ) -> bytes:
        """Return the image with credentials. Raises MarkError."""
        with self._lock:
            try:
                return self._signed(data, media_type, title, source_type, original, original_type)
            except self._c2pa.C2paError as error:
                raise MarkError(f"{title} cannot be signed: {type(error).__name__}") from error

    def _signed(
        self,
        data: bytes,
        media_type: str,
        title: str,
        source_type: str,
        original: bytes,
        original_type: str,
    ) -> bytes:
        has_parent = not source_type or self._is_marked(original, original_type)
        builder = self._c2pa.Builder(
            _manifest(title, "" if has_parent else source_type), self._context
        )
        if has_parent:
            builder.set_intent(self._c2pa.C2paBuilderIntent.EDIT)
            parent = {"title": f"original of {title}", "relationship": "parentOf"}
            builder.add_ingredient(parent, original_type, io.BytesIO(original))
        out = io.BytesIO()
        builder.sign(self._signer, media_type, io.BytesIO(data), out)
        return out.getvalue()

    def _is_marked(self, data: bytes, media_type: str) -> bool:
        try:
            self._c2pa.Reader(media_type, io.BytesIO(data)).close()
        except self._c2pa.C2paError:
            return False
        return True


def _manifest(title: str, source_type: str) -> Mapping[str, Any]:
    actions: list[dict[str, str]] = [{"action": "c2pa.transcoded"}]
    if source_type:
        made = {"action": "c2pa.created", "digitalSourceType": f"{TERMS}{source_type}"}
        actions.insert(0, made)
    return {
        "claim_generator_info": [{"name": "SynthReview"}],
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
