#!/usr/bin/env python3
"""Train weft-tiny: text in, `weft-tiny.gguf` out, on one CPU core in about an hour.

    python3 train.py --minutes 60 --out build moby-dick.txt sotu.txt war-and-peace.txt

needs PyTorch (any version from 1.13, CPU) and numpy; nothing is downloaded. The stages run in this order, and each
leaves its result in `--out`:

    text       normalise, cut into documents, hold out about 2 % of each file (contiguous, never trained on)
    tokenizer  byte-level BPE on the training text
    model      a plain Llama (RMSNorm, RoPE, grouped-query attention, SwiGLU, tied embedding), Muon + AdamW
    export     GGUF v3: matrices Q8_0, norms F32
    evaluate   the exported, quantised weights on the held-out text, beside a 5-gram model and xz
    sample     a few continuations

`--stage NAME` runs one of them alone (train: the model). The learning rate and the window follow the share of
`--minutes` that has passed, so a slower machine sees fewer tokens and still finishes its schedule. The weights are
therefore not reproducible bit by bit from one machine to the next; text, tokenizer and held-out split are.
"""
import argparse, heapq, json, lzma, math, os, random, re, sys, time, unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

# ------------------------------------------------------------------------------------------------ text

HOLDOUT_SHARE, HOLDOUT_AT = 0.02, 0.6  # how much of each file is held out, and where in the file it begins
PLAIN = str.maketrans({'‘': "'", '’': "'", '“': '"', '”': '"', '—': '--', '–': '-', '‑': '-', '•': '-', '_': None, '*': None, '`': "'"})


def documents(path):
    """Chapters of a book, or lines of a file without blank lines (one address a line), as plain unwrapped text."""
    text = Path(path).read_text(encoding='utf-8').replace('\r\n', '\n').translate(PLAIN)
    text = re.sub(r' *\((Applause|Laughter)\.?\)', '', text)
    chapters = re.split(r'\n*^CHAPTER [^\n]*\n+', text, flags=re.M) if '\n\n' in text else text.split('\n')
    out = []
    for chapter in chapters:
        paragraphs = (re.sub(r'\s+', ' ', p).strip() for p in re.split(r'\n\s*\n', chapter))
        body = '\n\n'.join(p for p in paragraphs if p)
        if body:
            out.append(body)
    return out


def split_documents(docs):
    """(training, held out): the held-out run is contiguous, whole documents, at least HOLDOUT_SHARE of the characters."""
    total, seen, train, held, size = sum(map(len, docs)), 0, [], [], 0
    for doc in docs:
        if seen >= HOLDOUT_AT * total and size < HOLDOUT_SHARE * total:
            held.append(doc)
            size += len(doc)
        else:
            train.append(doc)
        seen += len(doc)
    return train, held


def chat_examples(docs, rng, share):
    """ChatML turns cut from running prose: the user says a sentence or two, the assistant goes on with the next ones."""
    for doc in docs:
        sentences = [s for s in re.split(r'(?<=[.!?])\s+|(?<=[.!?]["\'])\s+', doc) if s]
        i = 0
        while i < len(sentences) - 2:
            user, reply = rng.randint(1, 2), rng.randint(2, 5)
            if rng.random() < share:
                said, answer = ' '.join(sentences[i:i + user]), ' '.join(sentences[i + user:i + user + reply])
                if len(said) < 400 and len(answer) < 1200:
                    yield f'<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n'
            i += user + reply


# ------------------------------------------------------------------------------------------- tokenizer

SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']


def char_class(kind):
    """The characters of a Unicode category as the inside of a regex class (the stdlib has no \\p{L})."""
    spans, start = [], None
    for c in range(sys.maxunicode + 2):
        inside = c <= sys.maxunicode and unicodedata.category(chr(c))[0] == kind
        if inside and start is None:
            start = c
        if not inside and start is not None:
            spans.append(f'\\U{start:08x}-\\U{c - 1:08x}')
            start = None
    return ''.join(spans)


def pre_tokenizer():
    """The split that GGUF calls "smollm": every digit alone, then GPT-2's pattern on what lies between."""
    L, N = char_class('L'), char_class('N')
    gpt2 = re.compile(rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{L}]+| ?[^\s{L}{N}]+|\s+(?!\S)|\s+")
    digit = re.compile(f'([{N}])')
    return lambda text: [w for part in digit.split(text) for w in ([part] if digit.fullmatch(part) else gpt2.findall(part))]


def byte_alphabet():
    """GPT-2's printable stand-in for each byte, in the order of GPT-2's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def train_bpe(word_counts, pieces):
    """Byte-pair merges, most frequent pair first (ties: the smaller pair), as [(left, right)]."""
    alphabet = byte_alphabet()
    words = [[alphabet[b] for b in w.encode()] for w in word_counts]
    counts = list(word_counts.values())
    pairs, where = Counter(), defaultdict(set)
    for i, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pairs[pair] += counts[i]
            where[pair].add(i)
    heap = [(-n, p) for p, n in pairs.items()]
    heapq.heapify(heap)
    merges = []
    while len(merges) < pieces and heap:
        n, pair = heapq.heappop(heap)
        if pairs[pair] != -n:  # stale entry: put the true count back
            if pairs[pair] > 0:
                heapq.heappush(heap, (-pairs[pair], pair))
            continue
        merges.append(pair)
        for i in list(where.pop(pair)):
            word = words[i]
            for p in zip(word, word[1:]):
                pairs[p] -= counts[i]
            words[i] = word = merge(word, pair)
            for p in zip(word, word[1:]):
                pairs[p] += counts[i]
                where[p].add(i)
                if pair[0] + pair[1] in p:
                    heapq.heappush(heap, (-pairs[p], p))
        pairs[pair] = 0
    return merges


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and word[i] == pair[0] and word[i + 1] == pair[1]:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.alphabet = byte_alphabet()
        self.tokens = SPECIAL + list(self.alphabet.values()) + [a + b for a, b in self.merges]
        self.id = {t: i for i, t in enumerate(self.tokens)}
        self.split, self.cache = pre_tokenizer(), {}
        self.special = re.compile('(' + '|'.join(map(re.escape, SPECIAL)) + ')')

    def word(self, text):
        if text not in self.cache:
            word = [self.alphabet[b] for b in text.encode()]
            while len(word) > 1:
                best = min(zip(word, word[1:]), key=lambda p: self.rank.get(p, math.inf))
                if best not in self.rank:
                    break
                word = merge(word, best)
            self.cache[text] = [self.id[p] for p in word]
        return self.cache[text]

    def encode(self, text, special=False):
        parts = self.special.split(text) if special else [text]
        return [t for p in parts for t in ([self.id[p]] if special and p in SPECIAL else [t for w in self.split(p) for t in self.word(w)])]

    def decode(self, ids):
        byte = {c: b for b, c in self.alphabet.items()}
        raw = b''.join(bytes(byte[c] for c in self.tokens[i]) if i >= len(SPECIAL) else self.tokens[i].encode() for i in ids)
        return raw.decode('utf-8', errors='replace')


# ----------------------------------------------------------------------------------------------- model

@dataclass
class Config:
    vocab: int = 4096
    dim: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    ffn: int = 512
    context: int = 1024
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self):
        return self.dim // self.heads


class RMSNorm(torch.nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight, self.eps = torch.nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def attend(q, k, v):
    """Causal attention, [batch, heads, time, head_dim] each."""
    if hasattr(F, 'scaled_dot_product_attention'):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    T = q.shape[2]
    mask = torch.full((T, T), -math.inf).triu(1)
    return torch.softmax(q @ k.transpose(2, 3) * q.shape[3] ** -0.5 + mask, -1) @ v


class Block(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, D, KV = c, c.dim, c.kv_heads * c.head_dim
        matrix = lambda rows, cols: torch.nn.Parameter(torch.randn(rows, cols) * cols ** -0.5)
        zeros = lambda rows, cols: torch.nn.Parameter(torch.zeros(rows, cols))  # a block starts as the identity
        self.attn_norm, self.ffn_norm = RMSNorm(D, c.eps), RMSNorm(D, c.eps)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = matrix(D, D), matrix(KV, D), matrix(KV, D), zeros(D, D)
        self.ffn_gate, self.ffn_up, self.ffn_down = matrix(c.ffn, D), matrix(c.ffn, D), zeros(D, c.ffn)

    def forward(self, x, cos, sin):
        c, (B, T, D), h = self.c, x.shape, self.c.head_dim
        qk = c.heads + c.kv_heads
        y = F.linear(self.attn_norm(x), torch.cat([self.attn_q, self.attn_k, self.attn_v]))
        y = y.view(B, T, qk + c.kv_heads, h).transpose(1, 2)
        # Rotated in halves (i, i + h/2), which is fast; the export reorders the rows to GGUF's adjacent pairs.
        a, b = y[:, :qk, :, :h // 2], y[:, :qk, :, h // 2:]
        r = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
        k, v = r[:, c.heads:], y[:, qk:]
        group = c.heads // c.kv_heads
        y = attend(r[:, :c.heads], k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))
        x = x + F.linear(y.transpose(1, 2).reshape(B, T, D), self.attn_output)
        gate, up = F.linear(self.ffn_norm(x), torch.cat([self.ffn_gate, self.ffn_up])).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.ffn_down)


class Llama(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.token_embd = torch.nn.Parameter(torch.randn(c.vocab, c.dim) * 0.02)
        self.blk = torch.nn.ModuleList(Block(c) for _ in range(c.layers))
        self.output_norm = RMSNorm(c.dim, c.eps)
        angle = torch.arange(c.context)[:, None] * c.rope_base ** (-torch.arange(0, c.head_dim, 2) / c.head_dim)
        self.register_buffer('cos', angle.cos(), persistent=False)
        self.register_buffer('sin', angle.sin(), persistent=False)

    def forward(self, ids, targets=None):
        """Logits [batch, time, vocab], or with targets the loss of each token [batch * time], in nats."""
        x = F.embedding(ids, self.token_embd)
        cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin)
        logits = F.linear(self.output_norm(x), self.token_embd)
        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction='none')


# -------------------------------------------------------------------------------------------- training

class Muon:
    """Momentum whose matrix is replaced by the nearest orthogonal one (Newton-Schulz; Jordan et al., 2024)."""

    def __init__(self, params, momentum=0.95, decay=0.1):
        self.params, self.momentum, self.decay = list(params), momentum, decay
        self.buf = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lr):
        for p, m in zip(self.params, self.buf):
            m.lerp_(p.grad, 1 - self.momentum)
            update = self.orthogonal(p.grad.lerp(m, self.momentum))
            p.mul_(1 - lr * self.decay).add_(update, alpha=-lr * max(1, p.shape[0] / p.shape[1]) ** 0.5)

    @staticmethod
    def orthogonal(g):
        x = g.T if g.shape[0] > g.shape[1] else g
        x = x / (x.norm() + 1e-7)
        for _ in range(5):
            s = x @ x.T
            x = 3.4445 * x + (-4.7750 * s + 2.0315 * s @ s) @ x
        return x.T if g.shape[0] > g.shape[1] else x


class Windows:
    """Endless shuffled windows of token ids; every epoch is cut at another offset."""

    def __init__(self, ids, rng):
        self.ids, self.rng, self.queue, self.size = ids, rng, [], 0

    def take(self, n, size):
        if size != self.size:
            self.queue, self.size = [], size
        while len(self.queue) < n:
            starts = list(range(self.rng.randrange(size), len(self.ids) - size - 1, size))
            self.rng.shuffle(starts)
            self.queue = starts + self.queue
        picked, self.queue = self.queue[-n:], self.queue[:-n]
        return torch.from_numpy(np.stack([self.ids[s:s + size + 1] for s in picked]).astype(np.int64))


def idle_threads(previous):
    """2 threads if other processes left more than half of the machine idle since the last look, else 1."""
    now = np.array(list(map(int, Path('/proc/stat').read_text().split('\n')[0].split()[1:9])))
    if previous is None:
        return now, 1
    spent = now - previous
    return now, 2 if (spent[0] + spent[2]) < 0.15 * spent.sum() else 1  # user + system; ours is niced and counts apart


def train(model, stream, chat, held, a, log=()):
    """Trains for a.minutes and returns the log; an earlier log (a resumed run) is continued."""
    c, rng = model.c, random.Random(a.seed)
    prose, turns = Windows(stream, rng), Windows(chat, rng)
    matrices = [p for b in model.blk for p in b.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    muon = Muon(matrices, decay=a.decay)
    adam = torch.optim.AdamW(others, lr=a.embed_lr, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    run = torch.compile(model, dynamic=False) if a.compile else model
    if a.compile:  # both window sizes, before the clock starts
        for size in {a.window, c.context}:
            x = torch.zeros(a.micro // size, size, dtype=torch.long)
            run(x, x).mean().backward()
    clock = time.process_time if a.processor_time else time.time
    log, began, step, shown, cpu, threads, mean = list(log), clock(), 0, clock(), None, 1, None
    before = log[-1] if log else dict(step=0, tokens=0, seconds=0)

    def record():
        return dict(step=before['step'] + step, tokens=before['tokens'] + step * a.batch, seconds=before['seconds'] + round(clock() - began),
                    train=round(mean, 4), valid=round(loss_on(model, held[:a.quick + 1], 256)[0], 4))

    while (progress := (clock() - began) / (60 * a.minutes)) < 1:
        if a.threads == 0 and step % 10 == 0:
            cpu, threads = idle_threads(cpu)
            torch.set_num_threads(threads)
        size = c.context if progress > a.long_after else a.window
        scale = min(1, (step + 1) / a.warmup) * min(1, (1 - progress) / a.cooldown)
        muon.momentum = 0.85 + 0.1 * min(1, step / 200)
        model.zero_grad(set_to_none=True)
        for _ in range(a.batch // a.micro):
            source = turns if rng.random() < a.chat_share else prose
            ids = source.take(a.micro // size, size)
            loss = run(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()).mean()
            (loss * a.micro / a.batch).backward()
            mean = loss.item() if mean is None else mean + 0.02 * (loss.item() - mean)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for group in adam.param_groups:
            group['lr'] = a.embed_lr * scale
        adam.step()
        muon.step(a.lr * scale)
        step += 1
        if clock() - shown > a.every:
            shown = clock()
            log.append(record())
            print(json.dumps(log[-1]), f'window {size} threads {threads} {step * a.batch / (clock() - began):.0f} tok/s', flush=True)
            if a.keep:
                torch.save(dict(config=vars(c), state=model.state_dict(), log=log), a.out / 'checkpoint.tmp')
                os.replace(a.out / 'checkpoint.tmp', a.out / 'checkpoint.pt')
    log.append(record())
    print(json.dumps(log[-1]), flush=True)
    return log


@torch.no_grad()
def loss_on(model, ids, size):
    """(nats a token, tokens counted): windows overlap by half, so that each token but the first few has size/2 before it."""
    total, count, half = 0.0, 0, size // 2
    ids = torch.from_numpy(np.asarray(ids).astype(np.int64))
    for start in range(0, len(ids) - 1, half):
        piece = ids[start:start + size + 1]
        losses = model(piece[None, :-1], piece[None, 1:])[0 if start == 0 else half:]
        total, count = total + losses.double().sum().item(), count + len(losses)
        if start + size + 1 >= len(ids):
            break
    return total / count, count


# ------------------------------------------------------------------------------------------------ GGUF

U32, F32, BOOL, STR, ARR, I32, U64 = 4, 6, 7, 8, 9, 5, 10
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def q8_0(w):
    """Rows of float32 as GGML Q8_0: blocks of 32, an f16 scale and 32 int8 each."""
    blocks = w.reshape(-1, 32).astype(np.float32)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    q = np.round(np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale > 0)).astype(np.int8)
    return np.concatenate([scale.astype('<f2').view(np.uint8), q.view(np.uint8)], 1).tobytes()


def from_q8_0(raw, shape):
    rec = np.frombuffer(raw, np.uint8).reshape(-1, 34)
    return (rec[:, 2:].view(np.int8).astype(np.float32) * rec[:, :2].copy().view('<f2').astype(np.float32)).reshape(shape)


def adjacent_pairs(w, heads, inverse=False):
    """Rows of a Q or K matrix from rotation in halves to rotation of adjacent pairs, or back."""
    rows, cols = w.shape
    shape = (heads, rows // heads // 2, 2, cols) if inverse else (heads, 2, rows // heads // 2, cols)
    return w.reshape(shape).swapaxes(1, 2).reshape(rows, cols)


def write_gguf(path, model, tokenizer):
    c = model.c
    string = lambda s: (b := s.encode()) and len(b).to_bytes(8, 'little') + b
    u32, u64 = lambda n: n.to_bytes(4, 'little'), lambda n: n.to_bytes(8, 'little')
    encode = {U32: u32, F32: lambda v: np.float32(v).tobytes(), BOOL: lambda v: bytes([v]), STR: string}

    def value(kind, v):
        if kind == ARR:
            inner, items = v
            data = b''.join(map(string, items)) if inner == STR else np.array(items, '<i4').tobytes()
            return u32(ARR) + u32(inner) + u64(len(items)) + data
        return u32(kind) + encode[kind](v)

    meta = [
        ('general.architecture', STR, 'llama'), ('general.type', STR, 'model'), ('general.name', STR, 'weft-tiny'),
        ('general.organization', STR, 'weft'), ('general.license', STR, '(Apache-2.0 OR MIT)'),
        ('general.description', STR, 'A small English prose model trained on public-domain text; ships with weft'),
        ('general.languages', ARR, (STR, ['en'])), ('general.file_type', U32, 7), ('general.quantization_version', U32, 2),
        ('llama.block_count', U32, c.layers), ('llama.context_length', U32, c.context), ('llama.embedding_length', U32, c.dim),
        ('llama.feed_forward_length', U32, c.ffn), ('llama.attention.head_count', U32, c.heads),
        ('llama.attention.head_count_kv', U32, c.kv_heads), ('llama.attention.layer_norm_rms_epsilon', F32, c.eps),
        ('llama.rope.freq_base', F32, c.rope_base), ('llama.rope.dimension_count', U32, c.head_dim), ('llama.vocab_size', U32, c.vocab),
        ('tokenizer.ggml.model', STR, 'gpt2'), ('tokenizer.ggml.pre', STR, 'smollm'), ('tokenizer.ggml.tokens', ARR, (STR, tokenizer.tokens)),
        ('tokenizer.ggml.token_type', ARR, (I32, [3] * len(SPECIAL) + [1] * (c.vocab - len(SPECIAL)))),
        ('tokenizer.ggml.merges', ARR, (STR, [' '.join(m) for m in tokenizer.merges])),
        ('tokenizer.ggml.bos_token_id', U32, 1), ('tokenizer.ggml.eos_token_id', U32, 2), ('tokenizer.ggml.unknown_token_id', U32, 0),
        ('tokenizer.ggml.padding_token_id', U32, 2), ('tokenizer.ggml.add_space_prefix', BOOL, False),
        ('tokenizer.ggml.add_bos_token', BOOL, False), ('tokenizer.chat_template', STR, CHAT_TEMPLATE),
    ]
    tensors = []
    for name, p in model.state_dict().items():
        w = p.numpy()
        if 'attn_q' in name or 'attn_k' in name:
            w = adjacent_pairs(w, c.heads if 'attn_q' in name else c.kv_heads)
        tensors.append((name if name.endswith('.weight') else name + '.weight', w))
    pad = lambda b: b + bytes(-len(b) % 32)
    head = b'GGUF' + u32(3) + u64(len(tensors)) + u64(len(meta)) + b''.join(string(k) + value(t, v) for k, t, v in meta)
    data = b''
    for name, w in tensors:
        raw, kind = (q8_0(w), 8) if w.ndim == 2 else (w.astype('<f4').tobytes(), 0)
        head += string(name) + u32(w.ndim) + b''.join(map(u64, reversed(w.shape))) + u32(kind) + u64(len(data))
        data += pad(raw)
    partial = Path(f'{path}.tmp')
    partial.write_bytes(pad(head) + data)
    os.replace(partial, path)


def quantised(model):
    """The same model with the weights that a reader of the GGUF file will see."""
    twin = Llama(model.c)
    twin.load_state_dict({k: torch.from_numpy(from_q8_0(q8_0(p.numpy()), p.shape)) if p.dim() == 2 else p for k, p in model.state_dict().items()})
    return twin.eval()


# ------------------------------------------------------------------------------------------ evaluation

def kneser_ney(train_ids, held_ids, vocab, order=5):
    """Nats a token of an interpolated Kneser-Ney model over the same tokens (one discount an order, n1 / (n1 + 2 n2))."""
    train_ids, held_ids = train_ids.astype(np.int64), held_ids.astype(np.int64)
    grams = {}  # length -> (unique rows, occurrences), rows as tuples of one integer key
    assert vocab <= 4096 and order <= 5  # five ids of 12 bits fit an int64
    key = lambda ids, n: sum(ids[i:len(ids) - n + 1 + i] << (12 * (n - 1 - i)) for i in range(n))
    for n in range(1, order + 1):
        grams[n] = np.unique(key(train_ids, n), return_counts=True)
    # Below the highest order a gram counts as often as it has different predecessors.
    counts = {order: grams[order]}
    for n in range(1, order):
        counts[n] = np.unique(grams[n + 1][0] & ((1 << (12 * n)) - 1), return_counts=True)

    def look(table, wanted):
        keys, values = table
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, values[at], 0)

    target = np.arange(1, len(held_ids))
    p = np.full(len(target), 1 / vocab)
    for n in range(1, order + 1):
        keys, values = counts[n]
        once, twice = (values == 1).sum(), (values == 2).sum()
        d = once / max(1, once + 2 * twice)
        context, index, kinds = np.unique(keys >> 12, return_inverse=True, return_counts=True)
        totals = np.bincount(index, values)
        ok = target >= n - 1  # at the very beginning there is no longer context
        gram = key(held_ids, n)[target[ok] - n + 1]
        total, kind = look((context, totals), gram >> 12), look((context, kinds), gram >> 12)
        mixed = (np.maximum(look(counts[n], gram) - d, 0) + d * kind * p[ok]) / np.maximum(total, 1)
        p[ok] = np.where(total > 0, mixed, p[ok])
    return -np.log(p).mean()


def xz_bytes(data):
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def evaluate(model, train_ids, held_ids, train_text, held_text, window):
    """Everything on the held-out text; the model with windows of the length it was mostly trained on, and of its full context."""
    size, twin = len(held_text), quantised(model)
    nats = dict(q8_0=loss_on(twin, held_ids, window)[0], float32=loss_on(model.eval(), held_ids, window)[0],
                q8_0_full_context=loss_on(twin, held_ids, model.c.context)[0], kneser_ney_5gram=kneser_ney(train_ids, held_ids, model.c.vocab))
    alone, both, only = xz_bytes(held_text), xz_bytes(train_text + held_text), xz_bytes(train_text)
    bits = {name: n * (len(held_ids) - 1) / math.log(2) / size for name, n in nats.items()}
    bits.update(xz_alone=8 * alone / size, xz_given_train=8 * (both - only) / size)
    rounded = lambda values: {name: round(float(v), 4) for name, v in values.items()}
    return dict(heldout_bytes=size, heldout_tokens=len(held_ids), window=window, nats_per_token=rounded(nats), bits_per_byte=rounded(bits),
                train_sample_nats_per_token=round(loss_on(twin, train_ids[:len(held_ids)], window)[0], 4))


@torch.no_grad()
def sample(model, tokenizer, prompt, n, temperature=0.7, top_k=40, top_p=0.95, seed=1):
    generator = torch.Generator().manual_seed(seed)
    ids = tokenizer.encode(prompt, special=True)
    for _ in range(n):
        logits = model(torch.tensor([ids[-model.c.context:]]))[0, -1]
        if temperature == 0:
            ids.append(int(logits.argmax()))
        else:
            value, index = (logits / temperature).topk(top_k)
            p = value.softmax(0)
            p = torch.where(p.cumsum(0) - p < top_p, p, torch.zeros(()))
            ids.append(int(index[torch.multinomial(p, 1, generator=generator)]))
        if ids[-1] in (0, 2):
            break
    return tokenizer.decode(ids)


PROMPTS = ['The old man looked out at the sea and said', 'My fellow Americans, the state of our union is', 'Prince Andrew came into the room and',
           '<|im_start|>user\nWhat should a nation do in time of peace?<|im_end|>\n<|im_start|>assistant\n']

# ------------------------------------------------------------------------------------------------ main


def prepare(a, vocab):
    """Training and held-out text and ids, kept in a.out/data.npz and a.out/tokenizer.json."""
    train_docs, held_docs, samples = [], [], []
    for path in a.texts:
        kept, held = split_documents(documents(path))
        train_docs += kept
        held_docs += held
        cut = '\n\n'.join(held)[:6200]
        samples.append(cut[:max(cut.rfind(end) for end in ('. ', '.\n', '."\n', '." ')) + 1])
    (a.out / 'heldout-sample.txt').write_text('\n\n'.join(samples) + '\n', encoding='utf-8')
    if not (a.out / 'tokenizer.json').exists():
        split, words = pre_tokenizer(), Counter()
        for doc in train_docs:
            words.update(split(doc))
        merges = train_bpe(words, vocab - len(SPECIAL) - 256)
        (a.out / 'tokenizer.json').write_text(json.dumps(merges))
    tokenizer = Tokenizer(json.loads((a.out / 'tokenizer.json').read_text()))
    if not (a.out / 'data.npz').exists():
        join = lambda docs: np.array([0] + [t for d in docs for t in tokenizer.encode(d) + [0]], np.uint16)
        turns = [t for e in chat_examples(train_docs, random.Random(a.seed), 0.5) for t in tokenizer.encode(e, special=True)]
        random.Random(a.seed).shuffle(train_docs)
        np.savez(a.out / 'data.npz', train=join(train_docs), held=join(held_docs), chat=np.array(turns, np.uint16),
                 train_text=np.frombuffer('\n\n'.join(train_docs).encode(), np.uint8), held_text=np.frombuffer('\n\n'.join(held_docs).encode(), np.uint8))
    return tokenizer, np.load(a.out / 'data.npz')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    option = parser.add_argument
    option('texts', nargs='+', type=Path, help='UTF-8 text files')
    option('--out', type=Path, default=Path('build'), help='folder for everything that is written')
    option('--stage', choices=['all', 'text', 'train', 'export', 'evaluate', 'sample'], default='all')
    option('--minutes', type=float, default=60, help='training time')
    option('--processor-time', action='store_true', help='--minutes of processor time: a run that others crowd out still finishes its schedule')
    option('--threads', type=int, default=1, help='0: two while the machine is otherwise idle, else one')
    option('--compile', action='store_true', help='torch.compile (PyTorch 2; needs a C++ compiler)')
    option('--batch', type=int, default=4096, help='tokens a step')
    option('--micro', type=int, default=2048, help='tokens a forward pass (what the cache holds)')
    option('--window', type=int, default=256, help='tokens a window at first')
    option('--long-after', type=float, default=0.85, help='share of the time after which windows have the full context')
    option('--lr', type=float, default=0.02, help="Muon's learning rate")
    option('--embed-lr', type=float, default=0.003, help="AdamW's, for embedding and norms")
    option('--decay', type=float, default=0.1)
    option('--warmup', type=int, default=50, help='steps')
    option('--cooldown', type=float, default=0.5, help='share of the time in which the rate falls to zero')
    option('--chat-share', type=float, default=0.1, help='share of ChatML windows')
    option('--every', type=float, default=60, help='seconds between log lines')
    option('--quick', type=int, default=20000, help='held-out tokens for the log lines')
    option('--seed', type=int, default=1)
    option('--resume', action='store_true', help='go on from the checkpoint in --out (lower --lr and --cooldown 1 fit)')
    option('--keep', action='store_true', help='write a checkpoint at each log line')
    for name, kind in Config.__annotations__.items():
        option('--' + name.replace('_', '-'), type=kind, default=getattr(Config, name))
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(max(1, a.threads))
    torch.manual_seed(a.seed)
    torch.set_flush_denormal(True)

    tokenizer, data = prepare(a, a.vocab)
    train_ids, held_ids = data['train'], data['held']
    print(f"training {len(train_ids)} tokens, {len(data['train_text'])} bytes; chat {len(data['chat'])} tokens; "
          f"held out {len(held_ids)} tokens, {len(data['held_text'])} bytes", flush=True)
    if a.stage == 'text':
        return
    if a.stage in ('all', 'train'):
        model = Llama(Config(**{n: getattr(a, n) for n in Config.__annotations__}))
        print(sum(p.numel() for p in model.parameters()), 'parameters', flush=True)
        log = []
        if a.resume:
            saved = torch.load(a.out / 'checkpoint.pt')
            model.load_state_dict(saved['state'])
            log, a.seed = saved['log'], a.seed + len(saved['log'])  # other windows than the first time
        log = train(model, train_ids, data['chat'], held_ids, a, log)
        torch.save(dict(config=vars(model.c), state=model.state_dict(), log=log), a.out / 'checkpoint.pt')
    saved = torch.load(a.out / 'checkpoint.pt')
    model = Llama(Config(**saved['config']))
    model.load_state_dict(saved['state'])
    if a.stage in ('all', 'export'):
        write_gguf(a.out / 'weft-tiny.gguf', model, tokenizer)
    if a.stage in ('all', 'evaluate'):
        result = evaluate(model, train_ids, held_ids, data['train_text'].tobytes(), data['held_text'].tobytes(), a.window)
        (a.out / 'results.json').write_text(json.dumps(dict(result, log=saved['log']), indent=1))
        print(json.dumps(result, indent=1))
    if a.stage in ('all', 'sample'):
        twin = quantised(model)
        for prompt in PROMPTS:
            print('---\n' + sample(twin, tokenizer, prompt, 160))


if __name__ == '__main__':
    main()
