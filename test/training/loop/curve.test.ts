/** The curve of a run as a drawing and as pixels. */
import { expect, test } from 'vitest'
import { encodePng } from '../../../src/data/index.ts'
import { decodePng } from '../../../src/data/images/png.ts'
import { curvePng } from '../../../src/training/loop/curve-png.ts'
import { curveSvg, plotOf } from '../../../src/training/loop/curve.ts'

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

test('one epoch alone, and a loss that stays level, are drawn too', () => {
  expect(() => curvePng(CURVE.slice(0, 1))).not.toThrow()
  expect(() => curvePng(CURVE.map((point) => ({ ...point, loss: 2, validation: { loss: 2 } })))).not.toThrow()
})
