"""Data preparation: folders of audio become a scanned, divided and packed data folder (``codec prepare``)."""
