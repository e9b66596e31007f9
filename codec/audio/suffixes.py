"""Suffixes of audio files, for commands that search folders. The format of a file follows from its bytes alone."""

AUDIO_SUFFIXES = frozenset(
    """
    .wav .wave .bwf .bw64 .rf64 .w64 .flac .fla .ogg .oga .ogx .opus .spx .mp3 .mp2 .mp1 .mpga .mpa .aif .aiff .aifc
    .au .snd .caf .voc .sph .nist .aac .adts .m4a .m4b .m4r .mp4 .m4v .mov .qt .3gp .3gpp .3g2 .webm .weba .mkv .mka
    .wma .asf .wmv .wv .ape .tta .tak .amr .awb .ac3 .eac3 .dts .dsf .dff .mpc .shn .avi .flv .ogv .m2ts .ra .rm
    """.split()
)
"""Lower-case suffixes of files that are taken for audio when a folder is searched."""
