"""COVID-QA (Möller et al. 2020): questions about papers on coronaviruses, answered by a span of a paper.

On the hub it lies in SQuAD's form, whole papers with each question, so it is taken from a corpora folder alone.
"""

FOLDER = "covidqa"
HUB = None
LICENCE = "Apache 2.0 (repository)"
