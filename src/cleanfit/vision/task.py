"""One task of adapting an image classifier: a `Task` whose rows are images, so that a defense runs on it unchanged."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from cleanfit.task import Task
from cleanfit.vision.models import load_classifier


@dataclass(frozen=True)
class ImageTask(Task):
    """A task whose rows are ``row_id, image, label``; pixel values are made batch by batch, and `max_length` means nothing."""

    def load_model(self) -> PreTrainedModel:
        """Load a fresh pretrained image classifier; its head depends on the seed alone, so every copy is the same."""
        return load_classifier(self.source, self.settings.seed)
