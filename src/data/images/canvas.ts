/** Lines and words as pixels: what curves are drawn on, for whatever shows no SVG. */
import type { Image } from './image.ts'

const GLYPH_WIDTH = 5

/** Of each row, from the top, its five places from the left as the bits of a number: what curves say, and no more. */
export const GLYPHS: Readonly<Record<string, readonly number[]>> = {
  '0': [14, 17, 19, 21, 25, 17, 14],
  '1': [4, 12, 4, 4, 4, 4, 14],
  '2': [14, 17, 1, 2, 4, 8, 31],
  '3': [31, 2, 4, 2, 1, 17, 14],
  '4': [2, 6, 10, 18, 31, 2, 2],
  '5': [31, 16, 30, 1, 1, 17, 14],
  '6': [6, 8, 16, 30, 17, 17, 14],
  '7': [31, 1, 2, 4, 8, 8, 8],
  '8': [14, 17, 17, 14, 17, 17, 14],
  '9': [14, 17, 17, 15, 1, 2, 12],
  '.': [0, 0, 0, 0, 0, 12, 12],
  '-': [0, 0, 0, 31, 0, 0, 0],
  '+': [0, 4, 4, 31, 4, 4, 0],
  a: [0, 0, 14, 1, 15, 17, 15],
  c: [0, 0, 14, 16, 16, 17, 14],
  d: [1, 1, 13, 19, 17, 17, 15],
  e: [0, 0, 14, 17, 31, 16, 14],
  h: [16, 16, 22, 25, 17, 17, 17],
  i: [4, 0, 12, 4, 4, 4, 14],
  l: [12, 4, 4, 4, 4, 4, 14],
  m: [0, 0, 26, 21, 21, 17, 17],
  n: [0, 0, 22, 25, 17, 17, 17],
  o: [0, 0, 14, 17, 17, 17, 14],
  p: [0, 0, 30, 17, 30, 16, 16],
  r: [0, 0, 22, 25, 16, 16, 16],
  s: [0, 0, 14, 16, 14, 1, 30],
  t: [8, 8, 28, 8, 8, 9, 6],
  u: [0, 0, 17, 17, 17, 19, 13],
  v: [0, 0, 17, 17, 17, 10, 4],
}

/** Colours are #rrggbb, places pixels from the top left. */
export class Canvas {
  readonly #width: number
  readonly #height: number
  readonly #pixels: Uint8Array

  /** White. */
  constructor(width: number, height: number) {
    this.#width = width
    this.#height = height
    this.#pixels = new Uint8Array(3 * width * height).fill(255)
  }

  get image(): Image {
    return { width: this.#width, height: this.#height, channels: 3, data: this.#pixels }
  }

  line([x0, y0]: readonly [number, number], [x1, y1]: readonly [number, number], colour: string, width: number): void {
    const steps = Math.max(1, Math.ceil(Math.abs(x1 - x0)), Math.ceil(Math.abs(y1 - y0)))
    for (let step = 0; step <= steps; step++) {
      const [x, y] = [x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps]
      for (let across = 0; across < width; across++) {
        for (let down = 0; down < width; down++) this.#dot(Math.round(x) + across, Math.round(y) + down, colour)
      }
    }
  }

  /** Letters that there are none of are left blank. */
  text(words: string, x: number, y: number, colour: string, from: 'start' | 'end'): void {
    const left = Math.round(from === 'start' ? x : x - (GLYPH_WIDTH + 1) * words.length)
    for (const [place, letter] of words.split('').entries()) {
      for (const [row, bits] of (GLYPHS[letter] ?? []).entries()) {
        for (let at = 0; at < GLYPH_WIDTH; at++) {
          const isInk = ((bits >> (GLYPH_WIDTH - 1 - at)) & 1) === 1
          if (isInk) this.#dot(left + place * (GLYPH_WIDTH + 1) + at, Math.round(y) + row, colour)
        }
      }
    }
  }

  #dot(x: number, y: number, colour: string): void {
    if (x < 0 || y < 0 || x >= this.#width || y >= this.#height) return
    const rgb = Number.parseInt(colour.slice(1), 16)
    this.#pixels.set([rgb >> 16, (rgb >> 8) & 255, rgb & 255], 3 * (y * this.#width + x))
  }
}
