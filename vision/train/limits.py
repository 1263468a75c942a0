# SPDX-License-Identifier: AGPL-3.0-or-later
"""What each kind of model is known not to do: the last part of its card."""

from __future__ import annotations

HITUAV = (
    (
        "The official split is by frame of the same videos, so its figures flatter the model on new places; so do those on"
        " the pictures kept out, which are 24 of this test split. A split without that leak: `--split sequence`."
    ),
    (
        "The data shows schools, car parks, roads and playgrounds at 60 to 130 m, by day and by night. No forest, snow, sea"
        " or mountain; nothing tells who lies down or is half hidden. Check on your own ground before you rely on it."
    ),
    "Warm things of a person's size are the usual false alarms. Confirm over several frames and by size on the ground.",
    (
        "Small people are missed more often (see recall by pixels): fly lower, use a longer lens, or enlarge tiles before"
        " detection."
    ),
    "The class other_vehicle has too few examples (102 in training) to be of use: take its boxes as noise.",
    (
        "White-hot only. Colour palettes and black-hot pictures must be turned into white-hot grey first; `dronectl detect`"
        " knows most black-hot stills with people in them by itself."
    ),
    "It finds people, it does not tell who they are. Without a detection an area is not shown to be empty.",
)
RGB = (
    "Experimental. It has seen no real person in training: bodies are rendered, and how real people differ is not in it.",
    (
        "The real pictures below are few and of two places and a beach; nobody lies, swims or stands under trees in them."
        " Figures on other ground, light and cameras will differ. Label a hundred pictures of your own and fine-tune."
    ),
    "Rendered test pictures show the same bodies as training, on other ground: their figures are an upper bound.",
    "People under trees, in water, at night, in snow and below about 14 pixels are missed more often than found.",
    "Posts, bushes, bags, dark stones and shadows of a person's size are the usual false alarms.",
    "It finds people, it does not tell who they are. Without a detection an area is not shown to be empty.",
)
OWN = ("Evaluated on the data above only.",)
BY_PICTURE = (
    "Split by picture, because the names tell no flights: neighbours of one flight may be on both sides of the split, and"
    " the figures flatter the model. Sort whole flights into images/train and images/val."
)
