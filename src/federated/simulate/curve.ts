/** Loss and number of clients by round, as a drawing and as pixels. */
import { Canvas, encodePng } from '../../data/index.ts'
import type { SimulatedRound } from './simulation.ts'

const [WIDTH, HEIGHT, EDGE] = [640, 320, 40]
const [LOSS, CLIENTS, AXIS] = ['#2266aa', '#bbbbbb', '#333333']
/** Pixels of the bar of a round with the most clients. */
const BAR = 30

/** What is drawn, in pixels from the top left. */
export interface Plot {
  /** Of rounds that have a loss. */
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Of each round, upwards from the axis. */
  readonly bars: readonly { readonly x: number; readonly height: number }[]
  /** Losses at the lower and the upper end of the axis. */
  readonly low: number
  readonly high: number
  /** Clients of the largest sum. */
  readonly most: number
}

export function plotOf(rounds: readonly SimulatedRound[]): Plot {
  const losses = rounds.map(({ loss }) => loss ?? Number.NaN)
  const known = losses.filter(Number.isFinite)
  const [low, high] = [Math.min(...known, 0), Math.max(...known, 1e-9)]
  const x = (index: number): number => EDGE + (index * (WIDTH - 2 * EDGE)) / Math.max(1, rounds.length - 1)
  const y = (value: number): number => HEIGHT - EDGE - ((value - low) * (HEIGHT - 2 * EDGE)) / (high - low)
  const most = Math.max(1, ...rounds.map(({ sites }) => sites))
  return {
    points: losses.flatMap((loss, index) => (Number.isFinite(loss) ? [[x(index), y(loss)] as const] : [])),
    bars: rounds.map(({ sites }, index) => ({ x: x(index), height: (sites / most) * BAR })),
    low,
    high,
    most,
  }
}

export function curveSvg(name: string, rounds: readonly SimulatedRound[]): string {
  const { points, bars, high, most } = plotOf(rounds)
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
  const rectangles = bars.map(
    ({ x, height }) =>
      `<rect x="${(x - 1).toFixed(1)}" y="${(HEIGHT - EDGE - height).toFixed(1)}" width="2" height="${height.toFixed(1)}"/>`,
  )
  const title = name.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<text x="${EDGE}" y="20">${title}: loss by round (0 to ${high.toPrecision(3)}); bars: clients in the sum (most ${most})</text>`,
    `<g fill="${CLIENTS}">${rectangles.join('')}</g>`,
    `<polyline fill="none" stroke="${LOSS}" stroke-width="2" points="${line}"/>`,
    `<path d="M${EDGE} ${EDGE}V${HEIGHT - EDGE}H${WIDTH - EDGE}" fill="none" stroke="${AXIS}"/>`,
    '</svg>\n',
  ].join('\n')
}

export function curvePng(rounds: readonly SimulatedRound[]): Buffer {
  const { points, bars, low, high, most } = plotOf(rounds)
  const canvas = new Canvas(WIDTH, HEIGHT)
  const [bottom, right] = [HEIGHT - EDGE, WIDTH - EDGE]
  for (const { x, height } of bars) canvas.line([x - 1, bottom - height], [x - 1, bottom], CLIENTS, 2)
  canvas.line([EDGE, EDGE], [EDGE, bottom], AXIS, 1)
  canvas.line([EDGE, bottom], [right, bottom], AXIS, 1)
  for (const [at, point] of points.entries()) canvas.line(points[at - 1] ?? point, point, LOSS, 2)
  const label = (value: number): string => String(Number(value.toPrecision(3)))
  canvas.text(label(high), EDGE, EDGE - 12, AXIS, 'start')
  canvas.text(label(low), EDGE - 6, bottom - 3, AXIS, 'end')
  canvas.text('1', EDGE, bottom + 10, AXIS, 'start')
  canvas.text(`round ${rounds.length}`, right, bottom + 10, AXIS, 'end')
  canvas.text('loss', right, EDGE - 30, LOSS, 'end')
  canvas.text(`clients ${most}`, right, EDGE - 18, CLIENTS, 'end')
  return encodePng(canvas.image)
}
