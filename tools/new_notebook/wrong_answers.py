"""Wrong answers to notebook NN's exercises, and unusual right ones.

CASES: (check, answer, words its hint must hold), six for each check. RIGHT: (check, answer), four.
"""

WRONG = {
    "their mean": lambda data, d: data[d:] == data[:-d],
    "how many": lambda data, d: (data[d:] == data[:-d]).sum(),
    "with itself": lambda data, d: (data == data).float().mean(),
    "only len(data) - distance": lambda data, d: (data[d:] == data[:-d]).sum() / len(data),
    "that differ": lambda data, d: (data[d:] != data[:-d]).float().mean(),
    "roll": lambda data, d: (data == data.roll(d)).float().mean(),
}


def by_loop(data, d):
    return sum(int(data[i] == data[i - d]) for i in range(d, len(data))) / (len(data) - d)


UNUSUAL = [
    by_loop,
    lambda data, d: (data.numpy()[d:] == data.numpy()[:-d]).mean(),
    lambda data, d: data.unfold(0, d + 1, 1)[:, [0, -1]].diff().eq(0).double().mean(),
    lambda data, d: [data[d:].eq(data[:-d]).float().mean()][0].item(),
]


def as_class(function):
    class Repeats:
        def __init__(self, distance):
            self.distance = distance

        def share(self, data):
            return function(data, self.distance)

    return Repeats


CASES = [("repeats", answer, hint) for hint, answer in WRONG.items()]
CASES += [("repeats_class", as_class(answer), hint) for hint, answer in WRONG.items()]
RIGHT = [("repeats", answer) for answer in UNUSUAL]
RIGHT += [("repeats_class", as_class(answer)) for answer in UNUSUAL]
