"""What the course brings along; what you build stands in `mygpt_helpers.py`.

text           the texts: fetched or rebuilt, verified, or your own file; plays: how they are rebuilt
files          folders, and files written whole or not at all
machine        device, precision, the speed of a notebook
recipes        TrainConfig and the presets: how to train
train          the training loop, and what a run records
checkpoints    what is saved, resumed and loaded
judge          is this run healthy?
ngram          how far counting goes: what notebook 01 counts
plots          figures; diagrams: drawings; panel: controls; ladder: the loss ladder
checks         the exercises' checks, a file a notebook
__main__       python -m mygpt text | train | sample
"""
