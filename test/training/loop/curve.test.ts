/** The curve of a run as a drawing and as pixels. */
import { expect, test } from 'vitest'
import { encodePng } from '../../../src/data/index.ts'
import { GLYPHS } from '../../../src/data/images/canvas.ts'
import { decodePng } from '../../../src/data/images/png.ts'
import { curvePng } from '../../../src/training/loop/curve-png.ts'
import { BOTTOM, curveSvg, HEIGHT, LEFT, plotOf, RIGHT, TOP, WIDTH } from '../../../src/training/loop/curve.ts'

const CURVE = [3, 2, 1.5].map((loss, index) => ({
  epoch: index + 1,
  step: 10 * (index + 1),
  loss,
  learning_rate: 0.1,
  validation: { loss: loss + 0.25 },
}))

test.each([1, 3] as const)('an image of %i channels comes back as it was', (channels) => {
  const [width, height] = [7, 5]
  const data = Uint8Array.from({ length: width * height * channels }, (_, at) => (at * 37) % 256)
  expect(decodePng(encodePng({ width, height, channels, data }), 'x')).toEqual({ width, height, channels, data })
})

test('the picture has each point of both lines where the drawing has it', () => {
  const { width, height, data } = decodePng(curvePng(CURVE), 'curve.png')
  expect([width, height]).toEqual([640, 360])
  const at = (x: number, y: number): string => {
    const from = 3 * (Math.round(y) * width + Math.round(x))
    return `#${Buffer.from(data.subarray(from, from + 3)).toString('hex')}`
  }
  const { lines, levels } = plotOf(CURVE)
  expect(lines.map(({ name, points }) => [name, points.length])).toEqual([
    ['loss', 3],
    ['validation loss', 3],
  ])
  for (const { colour, points } of lines) for (const [x, y] of points) expect(at(x, y)).toBe(colour)
  expect(at(320, levels[0]!.y)).not.toBe('#ffffff')
  expect(at(2, 2)).toBe('#ffffff')
  const svg = curveSvg('<a>', CURVE)
  for (const { points } of lines)
    expect(svg).toContain(points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' '))
  expect(svg).toContain('&lt;a&gt;')
})

test('every word has ink, each of its letters: the levels, the epochs, and each line in its colour', () => {
  const { width, data } = decodePng(curvePng(CURVE), 'curve.png')
  /** Dots of a letter's cell, 5 wide and 7 high, in a colour. */
  const ink = (x: number, y: number, colour: string): number => {
    const rgb = Buffer.from(colour.slice(1), 'hex')
    const dots = Array.from({ length: 35 }, (_, at) => 3 * ((y + Math.floor(at / 5)) * width + x + (at % 5)))
    return dots.filter((from) => rgb.equals(data.subarray(from, from + 3))).length
  }
  const expectWords = (words: string, right: number, y: number, colour: string): void => {
    for (const [place, letter] of words.split('').entries()) {
      const dots = ink(right - 6 * (words.length - place), y, colour)
      // A dot of a number is four; a blank is nothing.
      expect([words, letter, letter === ' ' ? dots === 0 : dots >= 4 && dots < 30]).toEqual([words, letter, true])
    }
  }
  const { lines, levels, last } = plotOf(CURVE)
  for (const { y, label } of levels) expectWords(label, LEFT - 6, Math.round(y - 3), '#000000')
  expectWords(`epoch ${last}`, WIDTH - RIGHT, HEIGHT - BOTTOM + 20, '#000000')
  expectWords('1', LEFT + 6, HEIGHT - BOTTOM + 20, '#000000')
  for (const [index, { name, colour }] of lines.entries())
    expectWords(name, WIDTH - RIGHT, TOP - 20 + 10 * index, colour)
  // Far more of it is background than not.
  const dots = Array.from({ length: data.length / 3 }, (_, at) => data[3 * at]! + data[3 * at + 1]! + data[3 * at + 2]!)
  const inked = dots.filter((sum) => sum < 3 * 255).length / dots.length
  expect(inked).toBeGreaterThan(0.01)
  expect(inked).toBeLessThan(0.1)
})

test('labels of small and of negative losses have ink as well', () => {
  const odd = CURVE.map((point, index) => ({ ...point, loss: index - 1, validation: { loss: 1e-7 * index } }))
  const labels = [plotOf(odd), plotOf(odd.map((point) => ({ ...point, loss: 2e-7 })))].flatMap(({ levels }) =>
    levels.map(({ label }) => label),
  )
  expect(labels.join('')).toMatch(/e-.*/)
  expect(labels.join('')).toContain('-')
  for (const letter of new Set(labels.join(''))) expect(GLYPHS).toHaveProperty([letter])
})

test('one epoch alone, and a loss that stays level, are drawn too', () => {
  expect(() => curvePng(CURVE.slice(0, 1))).not.toThrow()
  expect(() => curvePng(CURVE.map((point) => ({ ...point, loss: 2, validation: { loss: 2 } })))).not.toThrow()
})
