/** The curve of a simulation as a drawing and as pixels: both say the same. */
import { expect, test } from 'vitest'
import { decodePng } from '../../src/data/images/png.ts'
import { curvePng, curveSvg, plotOf } from '../../src/federated/simulate/curve.ts'

const rounds = [0.7, null, 0.4, 0.35].map((loss, index) => ({
  round: index + 1,
  sites: 10 + index,
  records: 100,
  loss,
  dropped: 0,
  bytes: 400,
  refused: [],
}))

function pixels(): (x: number, y: number) => string {
  const { width, height, data } = decodePng(curvePng(rounds), 'curve.png')
  expect([width, height]).toEqual([640, 320])
  return (x, y) => {
    const from = 3 * (Math.round(y) * width + Math.round(x))
    return `#${Buffer.from(data.subarray(from, from + 3)).toString('hex')}`
  }
}

test('the picture has each loss and each bar where the drawing has it; a round without a loss has none', () => {
  const { points, bars, high, most } = plotOf(rounds)
  expect([points.length, bars.length, high, most]).toEqual([3, 4, 0.7, 13])
  const at = pixels()
  for (const [x, y] of points) expect(at(x, y)).toBe('#2266aa')
  for (const { x, height } of bars.slice(1, -1)) {
    expect(at(x, 280 - height + 1)).toBe('#bbbbbb')
    expect(at(x, 280 - height - 2)).not.toBe('#bbbbbb')
  }
  expect(at(2, 2)).toBe('#ffffff')
  const svg = curveSvg('a<b', rounds)
  expect(svg).toContain(`points="${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')}"`)
  expect(svg).toContain('a&lt;b: loss by round (0 to 0.700); bars: clients in the sum (most 13)')
})

test('each letter of its words has ink', () => {
  const at = pixels()
  const words = [
    ['round 4', 600, 290, '#333333'],
    ['loss', 600, 10, '#2266aa'],
    ['clients 13', 600, 22, '#bbbbbb'],
    ['0.7', 40 + 18, 28, '#333333'],
    ['0', 34, 277, '#333333'],
  ] as const
  for (const [word, right, y, colour] of words) {
    for (const [place, letter] of word.split('').entries()) {
      const left = right - 6 * (word.length - place)
      const dots = Array.from({ length: 35 }, (_, dot) => at(left + (dot % 5), y + Math.floor(dot / 5)))
      const ink = dots.filter((dot) => dot === colour).length
      expect([word, letter, letter === ' ' ? ink === 0 : ink >= 4 && ink < 30]).toEqual([word, letter, true])
    }
  }
})

test('one round, and rounds that have no loss at all, are drawn too', () => {
  expect(() => curvePng(rounds.slice(0, 1))).not.toThrow()
  expect(() => curvePng(rounds.map((round) => ({ ...round, loss: null })))).not.toThrow()
})
