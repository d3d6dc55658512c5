"""Types of adapter side by side on the same dialogues, and skills learnt one after the other.

`budget` solves each type's size for a share of the backbone's parameters, `cells` trains and judges one adapter and
keeps what it found, `ablation` takes trained layers out, `continual` learns skills in a row; `report` and `pictures`
show it.
"""
