/** The curve of a run as a drawing: loss over epochs, and what was watched beside it. */
import type { CurvePoint } from './progress.ts'

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 360, 64, 64, 32, 40]
const COLOURS = ['#1f77b4', '#d62728'] as const

interface Line {
  readonly name: string
  readonly points: readonly (readonly [epoch: number, value: number])[]
}

/** The loss of training in one colour with the axis on the left, the loss of validation in the other. SVG 1.1. */
export function curveSvg(name: string, curve: readonly CurvePoint[]): string {
  const lines = [
    { name: 'loss', points: curve.map(({ epoch, loss }) => [epoch, loss] as const) },
    {
      name: 'validation loss',
      points: curve.flatMap(({ epoch, validation }) =>
        validation?.loss === undefined ? [] : [[epoch, validation.loss] as const],
      ),
    },
  ].filter(({ points }) => points.length > 0)
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value))
  const [low, high] = spread(Math.min(...values), Math.max(...values))
  const last = curve.at(-1)?.epoch ?? 1
  const x = (epoch: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * (epoch - 1)) / Math.max(1, last - 1)
  const y = (value: number): number => TOP + ((HEIGHT - TOP - BOTTOM) * (high - value)) / (high - low)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="20">${escaped(name)}</text>`,
    ...ticks(low, high).map((value) => gridLine(y(value), value)),
    `<text x="${LEFT}" y="${HEIGHT - 12}">1</text>`,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 12}" text-anchor="end">epoch ${last}</text>`,
    ...lines.map((line, index) => drawn(line, COLOURS[index]!, index, x, y)),
    '</svg>\n',
  ].join('\n')
}

function drawn(
  { name, points }: Line,
  colour: string,
  index: number,
  x: (epoch: number) => number,
  y: (value: number) => number,
): string {
  const path = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(' ')
  const place = `x="${WIDTH - RIGHT}" y="${20 + 14 * index}" text-anchor="end"`
  return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/><text ${place} fill="${colour}">${name}</text>`
}

function gridLine(at: number, value: number): string {
  const level = at.toFixed(1)
  const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${level}" y2="${level}" stroke="#ddd"/>`
  return `${line}<text x="${LEFT - 6}" y="${(at + 4).toFixed(1)}" text-anchor="end">${Number(value.toPrecision(3))}</text>`
}

const TICKS = 4

function ticks(low: number, high: number): number[] {
  return Array.from({ length: TICKS + 1 }, (_, index) => low + ((high - low) * index) / TICKS)
}

/** A line that stays level still needs a height. */
function spread(low: number, high: number): readonly [number, number] {
  return high > low ? [low, high] : [low - 0.5, high + 0.5]
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
