/** The curve of a run as a drawing: loss over epochs, of training and of validation. */
import type { CurvePoint } from './progress.ts'

export const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 360, 64, 64, 32, 40]
const COLOURS = ['#1f77b4', '#d62728'] as const

/** What is drawn, in pixels from the top left. */
export interface Plot {
  readonly lines: readonly {
    readonly name: string
    /** #rrggbb */
    readonly colour: string
    readonly points: readonly (readonly [x: number, y: number])[]
  }[]
  /** Levels of the axis, and what stands beside them. */
  readonly levels: readonly { readonly y: number; readonly label: string }[]
  /** Number of the last epoch. */
  readonly last: number
}

export function plotOf(curve: readonly CurvePoint[]): Plot {
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
  return {
    lines: lines.map(({ name, points }, index) => ({
      name,
      colour: COLOURS[index]!,
      points: points.map(([epoch, value]) => [x(epoch), y(value)] as const),
    })),
    levels: ticks(low, high).map((value) => ({ y: y(value), label: String(Number(value.toPrecision(3))) })),
    last,
  }
}

/** SVG 1.1. */
export function curveSvg(name: string, curve: readonly CurvePoint[]): string {
  const { lines, levels, last } = plotOf(curve)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="20">${escaped(name)}</text>`,
    ...levels.map(gridLine),
    `<text x="${LEFT}" y="${HEIGHT - 12}">1</text>`,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 12}" text-anchor="end">epoch ${last}</text>`,
    ...lines.map(drawn),
    '</svg>\n',
  ].join('\n')
}

function drawn({ name, colour, points }: Plot['lines'][number], index: number): string {
  const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
  const place = `x="${WIDTH - RIGHT}" y="${20 + 14 * index}" text-anchor="end"`
  return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/><text ${place} fill="${colour}">${name}</text>`
}

function gridLine({ y, label }: Plot['levels'][number]): string {
  const level = y.toFixed(1)
  const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${level}" y2="${level}" stroke="#ddd"/>`
  return `${line}<text x="${LEFT - 6}" y="${(y + 4).toFixed(1)}" text-anchor="end">${label}</text>`
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
