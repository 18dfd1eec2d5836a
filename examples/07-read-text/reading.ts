/** PP-OCR around its two networks: where lines of text are, and what they say. */
import type { NamedTensors } from '../../src/index.ts'
import type { Picture } from './drawing.ts'

type Tensor = NamedTensors[string]

/** Pixels; the last column and row are outside. */
export interface Line {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
}

/** What colours of photographs are on average, and how much they vary: what the detector was trained with. */
const MEAN = [0.485, 0.456, 0.406] as const
const DEVIATION = [0.229, 0.224, 0.225] as const
/** Rows of a line, as the reader wants it. */
const ROWS = 48
const TEXT = 0.3

/** [1, 3, height, width]. */
export function pageOf({ width, height, grey }: Picture): Tensor {
  const data = new Float32Array(3 * grey.length)
  for (const [channel, mean] of MEAN.entries()) {
    data.set(
      grey.map((value) => (value / 255 - mean) / DEVIATION[channel]!),
      channel * grey.length,
    )
  }
  return { type: 'float32', dims: [1, 3, height, width], data }
}

/**
 * Lines from top to bottom. `map`: [1, 1, height, width], how likely each pixel is the core of a text; what hangs
 * together is a line, and is larger than its core. Only upright text is read here.
 */
export function linesOf(map: Tensor): Line[] {
  const [, , height, width] = map.dims as [number, number, number, number]
  const likely = map.data as Float32Array
  const seen = new Uint8Array(likely.length)
  const lines: Line[] = []
  for (let start = 0; start < likely.length; start++) {
    if (seen[start] === 1 || likely[start]! < TEXT) continue
    let [left, top, right, bottom, count] = [width, height, 0, 0, 0]
    const open = [start]
    seen[start] = 1
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const [x, y] = [at % width, Math.floor(at / width)]
      ;[left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)]
      count++
      const around = [x > 0 ? at - 1 : at, x < width - 1 ? at + 1 : at, at - width, at + width]
      for (const next of around) {
        if (seen[next] !== 0 || !(likely[next]! >= TEXT)) continue
        seen[next] = 1
        open.push(next)
      }
    }
    const [wide, high] = [right - left + 1, bottom - top + 1]
    if (count < 100 || high < 4) continue
    // As the detector was trained: a core is shrunk on each side by its area over its outline.
    const grown = Math.round((wide * high * 1.6) / (2 * (wide + high)))
    lines.push({
      left: Math.max(left - grown, 0),
      top: Math.max(top - grown, 0),
      right: Math.min(right + grown + 1, width),
      bottom: Math.min(bottom + grown + 1, height),
    })
  }
  return lines.toSorted((one, other) => one.top - other.top)
}

/** [lines, 3, 48, width]: each line as high as the reader wants it, as wide as the widest, from -1 to 1. */
export function stripsOf({ width, grey }: Picture, lines: readonly Line[]): Tensor {
  const scales = lines.map(({ top, bottom }) => ROWS / (bottom - top))
  const widths = lines.map(({ left, right }, index) => Math.round((right - left) * scales[index]!))
  const columns = 8 * Math.ceil(Math.max(...widths) / 8)
  const data = new Float32Array(lines.length * 3 * ROWS * columns)
  for (const [index, { left, top, right, bottom }] of lines.entries()) {
    const scale = scales[index]!
    for (let row = 0; row < ROWS; row++) {
      for (let column = 0; column < widths[index]!; column++) {
        const [y, x] = [(row + 0.5) / scale - 0.5, (column + 0.5) / scale - 0.5]
        const [lowY, lowX] = [Math.max(Math.floor(y), 0), Math.max(Math.floor(x), 0)]
        const [highY, highX] = [Math.min(lowY + 1, bottom - top - 1), Math.min(lowX + 1, right - left - 1)]
        const [shareY, shareX] = [Math.max(y - lowY, 0), Math.max(x - lowX, 0)]
        const at = (down: number, across: number): number => grey[(top + down) * width + left + across]!
        const upper = at(lowY, lowX) * (1 - shareX) + at(lowY, highX) * shareX
        const lower = at(highY, lowX) * (1 - shareX) + at(highY, highX) * shareX
        const value = (upper * (1 - shareY) + lower * shareY) / 127.5 - 1
        for (let channel = 0; channel < 3; channel++) {
          data[((index * 3 + channel) * ROWS + row) * columns + column] = value
        }
      }
    }
  }
  return { type: 'float32', dims: [lines.length, 3, ROWS, columns], data }
}

/**
 * What each line says. `likely`: [lines, places, letters]; at a place is a letter, the same letter still, or none (0).
 * @param letters of the model's own list; the blank between words is the one after the last
 */
export function textsOf(likely: Tensor, letters: readonly string[]): string[] {
  const [lines, places, kinds] = likely.dims as [number, number, number]
  const data = likely.data as Float32Array
  return Array.from({ length: lines }, (_, line) => {
    let text = ''
    let previous = 0
    for (let place = 0; place < places; place++) {
      const row = data.subarray((line * places + place) * kinds, (line * places + place + 1) * kinds)
      const best = row.reduce((most, value, kind) => (value > row[most]! ? kind : most), 0)
      if (best !== 0 && best !== previous) text += letters[best - 1] ?? ' '
      previous = best
    }
    return text.trim()
  })
}
