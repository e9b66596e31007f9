"""What is particular to libsndfile."""

import soundfile


def explain(error: Exception) -> str:
    """The reason alone: libsndfile repeats the path, and knows some of its errors by number only."""
    if isinstance(error, soundfile.LibsndfileError):
        text = error.error_string.strip().rstrip(".")
        return text if text and "No Error" not in text else f"libsndfile error {error.code}"
    return " ".join(str(error).split()) or type(error).__name__
