/** Loss and number of clients by round, as a drawing. */
import type { SimulatedRound } from './simulation.ts'

const [WIDTH, HEIGHT, EDGE] = [640, 320, 40]

export function curveSvg(name: string, rounds: readonly SimulatedRound[]): string {
  const losses = rounds.map(({ loss }) => loss ?? Number.NaN)
  const known = losses.filter(Number.isFinite)
  const [low, high] = [Math.min(...known, 0), Math.max(...known, 1e-9)]
  const x = (index: number): number => EDGE + (index * (WIDTH - 2 * EDGE)) / Math.max(1, rounds.length - 1)
  const y = (value: number): number => HEIGHT - EDGE - ((value - low) * (HEIGHT - 2 * EDGE)) / (high - low)
  const points = losses.flatMap((loss, index) =>
    Number.isFinite(loss) ? [`${x(index).toFixed(1)},${y(loss).toFixed(1)}`] : [],
  )
  const most = Math.max(1, ...rounds.map(({ sites }) => sites))
  const bars = rounds.map(({ sites }, index) => {
    const height = (sites / most) * 30
    return `<rect x="${(x(index) - 1).toFixed(1)}" y="${(HEIGHT - EDGE - height).toFixed(1)}" width="2" height="${height.toFixed(1)}"/>`
  })
  const title = name.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<text x="${EDGE}" y="20">${title}: loss by round (0 to ${high.toPrecision(3)}); bars: clients in the sum (most ${most})</text>`,
    `<g fill="#bbb">${bars.join('')}</g>`,
    `<polyline fill="none" stroke="#2266aa" stroke-width="2" points="${points.join(' ')}"/>`,
    `<path d="M${EDGE} ${EDGE}V${HEIGHT - EDGE}H${WIDTH - EDGE}" fill="none" stroke="#333"/>`,
    '</svg>\n',
  ].join('\n')
}
