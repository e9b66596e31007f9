"""Contents of a ``.nac`` file, without decoding it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from codec.bitstream.reader import PacketReader
from codec.coding.report import kbps
from codec.errors import UserError


def file_info(path: Path) -> dict[str, Any]:
    """Describe a ``.nac`` file, and check its packets.

    Args:
        path: the file

    Returns:
        The fields of its header, rates in kbit/s, ``metadata_bytes`` (tags and pictures, which do not count in the
        rates), ``damaged_packets``, and ``fault``, the reason if it is incomplete.
        The keys are those of ``codec info --json``.

    Raises:
        UserError: no .nac file, or its header is damaged.
    """
    with PacketReader(path) as reader:
        head, size, damaged = reader.header, reader.file_bytes, reader.damaged_packets()
        payload, metadata, tags, pictures = reader.payload_bytes, reader.blocks_bytes, reader.tags, reader.pictures
        try:
            reader.check()
            fault = None
        except UserError as error:
            fault = str(error)
    return {
        "path": str(path),
        **asdict(head),
        "tags": tags,
        "pictures": [
            {"type": one.type, "mime": one.mime, "description": one.description, "bytes": len(one.data)}
            for one in pictures
        ],
        "seconds": head.seconds,
        "packets": head.packets,
        "bytes": size,
        "payload_bytes": payload,
        "metadata_bytes": metadata,
        "overhead_bytes": size - metadata - payload,
        "nominal_kbps": head.nominal_kbps,
        "kbps": kbps(size - metadata, head.seconds),
        "payload_kbps": kbps(payload, head.seconds),
        "fault": fault,
        "checksums_ok": not damaged and fault is None,
        "damaged_packets": damaged,
    }


def describe_damage(info: dict[str, Any]) -> list[str]:
    """Describe the damage to a file.

    Args:
        info: from :func:`file_info`

    Returns:
        A line with the reason if it is incomplete, and one with the number of damaged packets; none if it is intact.
    """
    lines = [info["fault"]] if info["fault"] else []
    if damaged := len(info["damaged_packets"]):
        lines.append(f"{info['path']}: {damaged} damaged packet{'s' * (damaged != 1)}; encode the source again")
    return lines
