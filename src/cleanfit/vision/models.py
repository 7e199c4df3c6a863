"""Load fresh image classifiers of any transformers family, and what prepares images for them."""

from transformers import AutoImageProcessor, AutoModelForImageClassification, BaseImageProcessor, PreTrainedModel

from cleanfit.errors import ModelError
from cleanfit.models import ModelSource, first_line


def load_classifier(source: ModelSource, seed: int) -> PreTrainedModel:
    """Load a fresh pretrained image classifier; only its new head is random, and decided by `seed`.

    Raises:
        ModelError: the architecture has no classifier for images, or its weights do not fit it.
    """
    model, lost = source.load_with(AutoModelForImageClassification, seed)
    backbone = sorted(name for name in lost if name.startswith(f"{model.base_model_prefix}."))
    if backbone:
        raise ModelError(
            f"The weights of '{source.name}' do not fit: {len(backbone)} below the head are missing or of another shape, "
            f"'{backbone[0]}' first. Pass a pretrained model for images."
        )
    return model


def load_processor(source: ModelSource) -> BaseImageProcessor:
    """Load what resizes and normalises images for a model.

    Returns:
        The variant that works with Pillow: torchvision's resizes a little differently, and is not always there.

    Raises:
        ModelError: the model has none.
    """
    try:
        processor: BaseImageProcessor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            source.folder, trust_remote_code=False, backend="pil"
        )
    except Exception as error:  # transformers raises many kinds, with messages over several lines
        raise ModelError(
            f"Cannot load the image processor of '{source.name}': {first_line(error)} "
            "Expected a preprocessor_config.json beside the weights."
        ) from error
    return processor
