"""Commands that install the packages of other codecs."""

from codec.runtime.extras import install_command

_COMMANDS = {
    "encodec": install_command("peers"),
    # descript-audiotools asks for protobuf < 3.20, onnx for 4.25 or later. The codec runs with either, so it is
    # installed without what it asks for; the rest of that comes with the extra.
    "descript-audio-codec": (
        f"{install_command('peers')} && pip install --no-deps descript-audio-codec descript-audiotools"
    ),
}


def peer_install_command(package: str) -> str:
    """Return the command that installs the package of another codec.

    Args:
        package: its name in the package index.

    Returns:
        A shell command.
    """
    return _COMMANDS.get(package, f"pip install {package}")
