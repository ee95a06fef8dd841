# ruff: noqa: E501  (sentences and scripts are kept on their lines)
"""The field's words, one sentence each, as the page explains them on hover."""

WORDS = {
    "teacher": "The large model that is imitated: for every image it gives each class a probability.",
    "student": "One small linear model per class: a weighted sum of concepts, readable word by word.",
    "encoder": "Puts regions of an image and words into one space, so that their likeness can be measured.",
    "concept": "A word that a person can see in a picture. An image's value for it is the best likeness of any of its regions.",
    "held out": "Images that no fit has seen; every number on this page is measured on them.",
    "fidelity": "How well the student's ranking reproduces the teacher's yes: average precision, 1 is perfect.",
    "NEC": "Number of effective concepts: how many words carry weight for the class.",
    "weight": "How much the student's logit moves when a concept rises by one standard deviation. Blue speaks for the class, orange against it.",
    "activation": "The concept's value in each image: one dot an image, agreeing ones above the line, misaligned ones below.",
    "gap": "Mean value of the concept in misaligned images minus that in agreeing ones, in standard deviations.",
    "agree-pos": "Teacher and student both say yes.",
    "agree-neg": "Teacher and student both say no.",
    "missed": "The teacher says yes, the student no.",
    "extra": "The teacher says no, the student yes.",
    "slice": "A group of misaligned images that share one or two concepts more than chance would allow.",
    "focus": "The refit counts the images of this subset five times; held-out images never enter a fit.",
    "suggestion": "The few actions most likely to help, from the solver's own sensitivities, each with its predicted effect. One click previews it.",
    "lambda": "The strength of the L1 penalty: larger means fewer words with weight.",
    "provider": "The ONNX Runtime provider that really encoded these images.",
    "random concepts": "The same fit on random directions instead of words: what the words must beat.",
    "bootstrap": "The interval holds the true change in 95 of 100 such samples of images.",
    "recipe": "The steps as a file: they can be replayed on another project.",
}
