"""Music corpora: the group is the song with its stems, or the instrument."""

from data_prep.layouts.tree import recogniser_by_names

musdb = recogniser_by_names(
    "MUSDB18",
    r"(?:^|/)(?P<recording>(?P<group>[^/]+))(?:/(?:mixture|drums|bass|other|vocals|accompaniment|linear_mixture)\.\w+|\.stem\.mp4)$",
    evidence="stems named mixture, drums, bass, other, vocals, or .stem.mp4",
    grouping="song, with all its stems",
    domain="music",
)
medley_db = recogniser_by_names(
    "MedleyDB",
    r"(?:^|/)(?P<recording>(?P<group>[^/]+_[^/]+))/(?:(?P=group)_MIX\.\w+|(?P=group)_(?:STEMS|RAW)/[^/]+)$",
    evidence="folders with _MIX, _STEMS and _RAW",
    grouping="song, with all its stems",
    domain="music",
)
slakh = recogniser_by_names(
    "Slakh2100",
    r"(?:^|/)(?P<recording>(?P<group>Track\d{5}))/(?:mix\.\w+|stems/S\d\d\.\w+)$",
    evidence="folders TrackNNNNN with mix and stems/",
    grouping="song, with all its stems",
    domain="music",
)
nsynth = recogniser_by_names(
    "NSynth",
    r"(?:^|/)(?P<group>[a-z]+(?:_lead)?_(?:acoustic|electronic|synthetic)_\d{3})-\d{3}-\d{3}\.\w+$",
    evidence="files named INSTRUMENT-PITCH-VELOCITY",
    grouping="instrument",
    domain="music",
)
gtzan = recogniser_by_names(
    "GTZAN",
    r"(?:^|/)(?P<genre>[a-z]+)/(?P<group>(?P=genre)\.\d{5})\.\w+$",
    evidence="files named GENRE.NNNNN",
    grouping="excerpt, not the genre that the folder names",
    domain="music",
)

MUSIC_CORPORA = (musdb, medley_db, slakh, nsynth, gtzan)
