"""Floor 5: a recipe says what to make; its work is that, image by image."""

from .fields import FORMATS, Tone
from .files import describe, find_recipe, load_recipe, shipped_recipes
from .layouts import Family, Job
from .naming import default_folder
from .recipe import Recipe
from .work import Work

__all__ = [
    "FORMATS",
    "Family",
    "Job",
    "Recipe",
    "Tone",
    "Work",
    "default_folder",
    "describe",
    "find_recipe",
    "load_recipe",
    "shipped_recipes",
]
