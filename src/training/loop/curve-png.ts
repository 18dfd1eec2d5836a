/** The curve of a run as pixels, for whatever shows no SVG. */
import { Canvas, encodePng } from '../../data/index.ts'
import { BOTTOM, HEIGHT, LEFT, plotOf, RIGHT, TOP, WIDTH } from './curve.ts'
import type { CurvePoint } from './progress.ts'

const [GRID, TEXT] = ['#dddddd', '#000000']

export function curvePng(curve: readonly CurvePoint[]): Buffer {
  const { lines, levels, last } = plotOf(curve)
  const canvas = new Canvas(WIDTH, HEIGHT)
  for (const { y, label } of levels) {
    canvas.line([LEFT, y], [WIDTH - RIGHT, y], GRID, 1)
    canvas.text(label, LEFT - 6, y - 3, TEXT, 'end')
  }
  canvas.text('1', LEFT, HEIGHT - BOTTOM + 20, TEXT, 'start')
  canvas.text(`epoch ${last}`, WIDTH - RIGHT, HEIGHT - BOTTOM + 20, TEXT, 'end')
  for (const [index, { name, colour, points }] of lines.entries()) {
    canvas.text(name, WIDTH - RIGHT, TOP - 20 + 10 * index, colour, 'end')
    for (const [at, point] of points.entries()) canvas.line(points[at - 1] ?? point, point, colour, 2)
  }
  return encodePng(canvas.image)
}
