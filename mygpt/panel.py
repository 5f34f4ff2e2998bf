"""Figures and texts that follow controls: ipywidgets, with a static state beneath for pages without a kernel."""

import time

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from ipywidgets import BoundedIntText, Button, FloatSlider, HBox, IntSlider, Layout, Textarea

from mygpt.plots import image_metadata, show


def interactive(draw, **controls):
    """A figure that follows its controls: draw(name=value, ...) gives figure and alt, controls are ipywidgets.

    Where no kernel runs, the first state stays as a picture.
    """

    def drawn():
        return draw(**{name: control.value for name, control in controls.items()})

    def redraw(_):
        fig, alt = drawn()
        plt.close(fig)
        handle.update(fig, metadata=image_metadata(alt))

    display(_Controls(list(controls.values())))
    handle = show(*drawn())
    for control in controls.values():
        control.observe(redraw, "value")


class _Controls(HBox):
    def __repr__(self):  # what a page shows that has no widgets
        return "(Here stand controls that move while the notebook runs.)"


def writing_panel(model, tokenizer, prompt="ROMEO:\n", temperature=0.8, length=300, seed=1337):
    """Controls for `model.stream`, and a button: each press writes under them, as the characters come.

    The first text is written at once and stays where no kernel runs. A prompt that cannot be
    continued, for a character outside the vocabulary, is answered with a sentence in the text's place.
    """
    V, wide = tokenizer.vocab_size, {"description_width": "10em"}
    controls = {
        "prompt": Textarea(prompt, description="prompt", rows=2, style=wide),
        "temperature": FloatSlider(
            temperature, min=0, max=2, step=0.1, description="temperature", style=wide
        ),
        "top_k": IntSlider(V, min=1, max=V, description=f"top-k ({V}: all)", style=wide),
        "top_p": FloatSlider(
            1, min=0.05, max=1, step=0.05, description="top-p (1: all)", style=wide
        ),
        "length": IntSlider(length, min=1, max=1000, description="length (characters)", style=wide),
        "seed": BoundedIntText(seed, min=0, max=2**31, description="seed", style=wide),
    }
    button = Button(description="Write", button_style="primary")
    display(_Controls([*controls.values(), button], layout=Layout(flex_flow="row wrap")))
    handle = display(_as_text(""), raw=True, display_id=True)

    def write(_):
        asked = {name: control.value for name, control in controls.items()}
        said, shown = asked.pop("prompt"), time.perf_counter()
        generator = torch.Generator().manual_seed(asked.pop("seed"))
        try:
            idx = torch.tensor([tokenizer.encode(said)], dtype=torch.long)  # (1, T)
            for token in model.stream(idx, asked.pop("length"), **asked, generator=generator):
                said += tokenizer.decode(token[0])
                if (
                    time.perf_counter() - shown > 0.05
                ):  # a page redraws no faster than the eye reads
                    handle.update(_as_text(said), raw=True)
                    shown = time.perf_counter()
        except ValueError as error:
            said = f"Nothing was written: {error}."
        handle.update(_as_text(said), raw=True)

    button.on_click(write)
    write(button)


def _as_text(said):
    return {"text/plain": said}
