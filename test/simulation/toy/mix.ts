/**
 * A model whose every number hangs on all that it may hang on: a row is 64 bits, spread over its bytes, and each layer
 * mixes it with its own past. A wrong row, position, order, layer or KV cache gives another token.
 */

export type Bits = readonly [high: number, low: number]

function stir(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export function mix([a, b]: Bits, [c, d]: Bits, salt: number): Bits {
  const high = stir(stir(a ^ Math.imul(salt + 1, 0x9e3779b1)) + Math.imul(c, 0x01000193) + (d >>> 3))
  const low = stir(stir(b ^ high) ^ Math.imul(d, 0x85ebca77) ^ stir(c + salt))
  return [high, low]
}

export function tokenBits(id: number): Bits {
  return mix([id, 0x1234567], [0, id], 0x7e57)
}

/** The past of a layer with one row more. */
export function remember(past: Bits, row: Bits, layer: number, position: number): Bits {
  return mix(past, row, layer * 65_536 + position)
}

/** The row that leaves a layer, out of the one that came in and its past, that row included. */
export function layerRow(row: Bits, past: Bits, layer: number): Bits {
  return mix(row, past, 0x10_0000 + layer)
}

export function logitsOf(row: Bits, vocabulary: number): Float32Array {
  const logits = new Float32Array(vocabulary)
  for (let id = 0; id < vocabulary; id++) logits[id] = (stir(row[0] ^ Math.imul(id + 1, row[1] | 1)) >>> 8) / 2 ** 21
  return logits
}

/** Upper half of a float16 in [0.5, 1): whoever looks at a row finds plain numbers. */
const PLAIN = 0x3800
/** Elements that hold the 64 bits once. */
const ONCE = 8

/** Over all elements of a row of float16, a byte in each, again and again, so that none of them may be wrong. */
export function spread([high, low]: Bits, bytes: number): Uint8Array {
  const halves = new Uint16Array(bytes / 2)
  for (let at = 0; at < halves.length; at++) {
    const word = at % ONCE < ONCE / 2 ? high : low
    const byte = (word >>> (8 * (at % (ONCE / 2)))) & 0xff
    halves[at] = PLAIN | (byte ^ ((at * 37) & 0xff))
  }
  return new Uint8Array(halves.buffer)
}

/** What `spread` has spread; elements that do not agree with each other give other bits. */
export function gather(bytes: Uint8Array): Bits {
  const halves = new Uint16Array(bytes.slice().buffer)
  let high = 0
  let low = 0
  for (let at = 0; at < ONCE; at++) {
    const byte = ((halves[at]! ^ (at * 37)) & 0xff) << (8 * (at % (ONCE / 2)))
    if (at < ONCE / 2) high |= byte
    else low |= byte
  }
  const whole: Bits = [high >>> 0, low >>> 0]
  const again = new Uint16Array(spread(whole, bytes.length).buffer)
  const wrong = again.findIndex((half, at) => half !== halves[at])
  return wrong < 0 ? whole : mix(whole, [wrong, halves[wrong]!], 0xbad)
}

/** The whole model in one place: what every answer is held against. */
export class Reference {
  readonly #layers: number
  readonly #vocabulary: number

  constructor(layers: number, vocabulary: number) {
    this.#layers = layers
    this.#vocabulary = vocabulary
  }

  /** So many greedy tokens after a prompt. */
  answer(prompt: readonly number[], count: number): number[] {
    const past = Array.from({ length: this.#layers }, (): Bits => [0, 0])
    const tokens: number[] = []
    let position = 0
    const step = (id: number): Bits => {
      let row = tokenBits(id)
      for (let layer = 0; layer < this.#layers; layer++) {
        past[layer] = remember(past[layer]!, row, layer + 1, position)
        row = layerRow(row, past[layer]!, layer + 1)
      }
      position++
      return row
    }
    let row: Bits = [0, 0]
    for (const id of prompt) row = step(id)
    while (tokens.length < count) {
      const logits = logitsOf(row, this.#vocabulary)
      let best = 0
      for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
      tokens.push(best)
      row = step(best)
    }
    return tokens
  }
}
