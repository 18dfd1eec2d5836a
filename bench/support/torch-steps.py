"""Times of training steps of torch for the models of bench/training.ts: one JSON line, milliseconds by name, on the clock and of the processor."""
import json, math, statistics, sys, time
import torch
import torch.nn.functional as F

threads, rounds = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
torch.manual_seed(0)


class Decoder(torch.nn.Module):
    def __init__(self, vocabulary, width, heads, hidden, length):
        super().__init__()
        linear = lambda a, b: torch.nn.Linear(a, b, bias=False)
        self.heads = heads
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.query, self.key, self.value, self.out = (linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)
        self.norms = torch.nn.ParameterList(torch.ones(width) for _ in range(3))
        half = width // heads // 2
        angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(half)[None] / half)
        self.cos, self.sin = angles.cos(), angles.sin()

    def norm(self, x, at):
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * self.norms[at]

    def turned(self, x):
        left, right = x.chunk(2, -1)
        return torch.cat([left * self.cos - right * self.sin, right * self.cos + left * self.sin], -1)

    def forward(self, tokens):
        x = self.embedding(tokens)
        b, t, w = x.shape
        split = lambda v: v.view(b, t, self.heads, -1).transpose(1, 2)
        n = self.norm(x, 0)
        q, k, v = self.turned(split(self.query(n))), self.turned(split(self.key(n))), split(self.value(n))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, w))
        n = self.norm(x, 1)
        x = x + self.down(F.silu(self.gate(n)) * self.up(n))
        return self.norm(x, 2) @ self.embedding.weight.T


def mlp():
    layers = [torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(512, 10)), torch.randn(128, 784), torch.randint(10, (128,))


def cnn():
    layers = []
    for a, b in [(1, 16), (16, 32)]:
        layers += [torch.nn.Conv2d(a, b, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    layers += [torch.nn.Flatten(), torch.nn.Linear(1568, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)]
    return torch.nn.Sequential(*layers), torch.randn(64, 1, 28, 28), torch.randint(10, (64,))


def decoder():
    return Decoder(256, 256, 8, 704, 128), torch.randint(256, (8, 128)), torch.randint(256, (8, 128))


times = {}
for name, make in [("mlp", mlp), ("cnn", cnn), ("decoder", decoder)]:
    model, x, y = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    taken = []
    for _ in range(rounds + 3):
        start, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        scores = model(x)
        F.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.reshape(-1)).backward()
        optimizer.step()
        taken.append(((time.perf_counter() - start) * 1000, (time.process_time() - used) * 1000))
    times[name] = [statistics.median(column) for column in zip(*taken[3:])]
print(json.dumps(times))
