"""Figures and texts that follow controls. What they show first stays where no kernel runs."""

import time

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from ipywidgets import BoundedIntText, Button, FloatSlider, HBox, IntSlider, Layout, Textarea

from mygpt.plots import image_metadata, show


class Controls(HBox):
    """Widgets in a row, or in several on a narrow page."""

    def __init__(self, widgets):
        super().__init__(list(widgets), layout=Layout(flex_flow="row wrap"))

    def __repr__(self):  # what a page shows that has no widgets
        return "Interactive controls: they work while the notebook is running."


def interactive(draw, **controls):
    """A figure that follows its controls: draw(name=value, ...) -> figure and alt text.

    controls: a widget for each argument of `draw`. If `draw` raises ValueError for what was chosen,
    its sentence is shown in the figure's place until something else is chosen.

        panel.interactive(draw, factor=FloatSlider(1, min=0, max=2, description="factor"))
    """

    def drawn():
        return draw(**{name: control.value for name, control in controls.items()})

    def redraw(_):
        try:
            fig, alt = drawn()
        except ValueError as error:
            handle.update(as_text(f"{error}."), raw=True)
        else:
            plt.close(fig)
            handle.update(fig, metadata=image_metadata(alt))

    display(Controls(controls.values()))
    handle = show(*drawn())
    for control in controls.values():
        control.observe(redraw, "value")


def writing_panel(model, tokenizer, prompt="ROMEO:\n", temperature=0.8, length=300, seed=1337):
    """Controls for `model.stream`, and a button: each press writes under them, token by token.

    The first text is written at once. A prompt that cannot be continued, or a model that cannot
    write, is answered with a sentence in the text's place. Where the vocabulary lacks a character
    of the default prompt, the first token of the vocabulary takes its place.
    """
    V, wide = tokenizer.vocab_size, {"description_width": "10em"}
    controls = {
        "prompt": Textarea(possible(prompt, tokenizer), description="prompt", rows=2, style=wide),
        "temperature": FloatSlider(
            temperature, min=0, max=2, step=0.1, description="temperature", style=wide
        ),
        "top_k": IntSlider(V, min=1, max=V, description=f"top-k ({V}: all)", style=wide),
        "top_p": FloatSlider(
            1, min=0.05, max=1, step=0.05, description="top-p (1: all)", style=wide
        ),
        "length": IntSlider(length, min=1, max=1000, description="length (tokens)", style=wide),
        "seed": BoundedIntText(seed, min=0, max=2**31, description="seed", style=wide),
    }
    button = Button(description="Write", button_style="primary")
    display(Controls([*controls.values(), button]))
    handle = display(as_text(""), raw=True, display_id=True)

    def write(_):
        shown = time.perf_counter()
        try:
            for text in texts(model, tokenizer, **{n: c.value for n, c in controls.items()}):
                if time.perf_counter() - shown > 0.05:  # no faster than the eye reads
                    handle.update(as_text(text), raw=True)
                    shown = time.perf_counter()
        except ValueError as error:
            text = f"Nothing was written: {error}."
        handle.update(as_text(text), raw=True)

    button.on_click(write)
    write(button)


def texts(model, tokenizer, prompt, length, seed, **settings):
    """Yield the prompt and what the model has written after it, once more with each token."""
    device = next(model.parameters()).device
    idx = torch.tensor([tokenizer.encode(prompt)], dtype=torch.long, device=device)  # (1, T)
    generator = torch.Generator(device).manual_seed(seed)
    ids, written = [], ""
    for token in model.stream(idx, length, **settings, generator=generator):
        ids.append(token.item())
        try:
            written = tokenizer.decode(ids)
        except UnicodeDecodeError:  # the token ends inside a character: the next one completes it
            pass
        yield prompt + written


def possible(prompt, tokenizer):
    """The prompt if the vocabulary has its characters, else the vocabulary's first token."""
    try:
        tokenizer.encode(prompt)
    except ValueError:
        return tokenizer.decode([0])
    return prompt


def as_text(said):
    return {"text/plain": said}
