"""Import Lightning without the libraries of metrics that no training here computes.

Lightning imports torchmetrics, whose metrics of texts and pictures load transformers, Matplotlib's pyplot and ONNX
Runtime at once where they are installed: a third of the start of a command.
"""

import re
import sys

_UNNEEDED = ("transformers", "matplotlib", "onnxruntime")


def import_lightning() -> None:
    """Import Lightning, unless this has been done, as if what only torchmetrics asks for were not installed.

    For commands alone: in their process nobody else uses torchmetrics, whose plots and metrics of texts stay absent.
    """
    if "torchmetrics" in sys.modules:
        return
    from lightning_utilities.core.imports import RequirementCache

    is_met = RequirementCache.__bool__

    def is_needed_and_met(requirement: RequirementCache) -> bool:
        name = re.split(r"[^\w.-]", requirement.requirement or "")[0]
        if name in _UNNEEDED:
            requirement.available, requirement.message = False, f"{name} is not needed"
        return is_met(requirement)

    RequirementCache.__bool__ = is_needed_and_met  # type: ignore[assignment,method-assign]
    try:
        import lightning.pytorch  # noqa: F401
    finally:
        RequirementCache.__bool__ = is_met  # type: ignore[method-assign]
