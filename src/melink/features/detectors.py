"""From a name to a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from melink.errors import NotFound
from melink.features.detect import Detector, Grid

EMBEDDED: Final = ("opencv-people", "opencv-faces", "dlib-faces", "grid")
"""Detectors that need no model hub."""


def load_detector(name: str, device: str | None = None) -> Detector:
    """Load a detector by one of the names in :mod:`melink.features.detect`.

    Raises:
        NotInstalled: An extra is missing.
        NotFound: Unknown name, or the hub cannot be reached.
    """
    if name == "grid":
        return Grid()
    if name == "dlib-faces":
        from melink.features.face_dlib import DlibFaces

        return DlibFaces()
    if name in EMBEDDED:
        from melink.features.cascades import FaceCascade, PeopleCascade

        return FaceCascade() if name == "opencv-faces" else PeopleCascade()
    if "/" not in name and not Path(name).exists():
        raise NotFound.among("detector", name, EMBEDDED)
    from melink.features.detect_hf import HFDetector

    return HFDetector(name, device)
