"""The same defenses on pretrained image classifiers: read, poison, adapt and measure images."""

from cleanfit.vision.attacks import IMAGE_ATTACKS, Blend, ImageAttack, Patch
from cleanfit.vision.fitting import ImageFitResult, fit_images
from cleanfit.vision.images import LabeledImages, read_images
from cleanfit.vision.poisoning import PoisonedImages, poison_folders, poison_images, trigger_images
from cleanfit.vision.task import ImageTask

__all__ = [
    "IMAGE_ATTACKS",
    "Blend",
    "ImageAttack",
    "ImageFitResult",
    "ImageTask",
    "LabeledImages",
    "Patch",
    "PoisonedImages",
    "fit_images",
    "poison_folders",
    "poison_images",
    "read_images",
    "trigger_images",
]
