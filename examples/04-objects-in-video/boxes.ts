/** YOLOX around the network: a picture in, boxes out. */
import type { NamedTensors } from '../../src/index.ts'
import type { Frame } from './gif.ts'

export interface Box {
  readonly label: string
  /** How sure the model is that something is there, times how sure of what. */
  readonly score: number
  /** Left, top, width, height, in pixels of the frame. */
  readonly box: readonly [number, number, number, number]
}

/** The model's picture is square: the frame in its left upper corner, this grey around it. */
const SIDE = 416
const GREY = 114
/** It looks at cells of these sizes. */
const STRIDES = [8, 16, 32] as const
const ROW = 85
const SURE = 0.5
/** Two boxes of one class that overlap by more are of one thing. */
const SAME_THING = 0.45
/** Those of the 80 classes of COCO that are seen in this film. */
const LABELS = new Map([
  [0, 'person'],
  [10, 'fire hydrant'],
  [30, 'skis'],
  [32, 'sports ball'],
])

type Tensor = NamedTensors[string]

/** [frames, 3, 416, 416]: blue, green, red from 0 to 255, scaled bilinearly between the centres of pixels. */
export function imagesOf(frames: readonly Frame[]): Tensor {
  const plane = SIDE * SIDE
  const data = new Float32Array(frames.length * 3 * plane).fill(GREY)
  for (const [index, { width, height, rgb }] of frames.entries()) {
    const scale = scaleOf(frames[index]!)
    for (let y = 0; y < Math.floor(height * scale); y++) {
      const [top, bottom, below] = between((y + 0.5) / scale - 0.5, height)
      for (let x = 0; x < Math.floor(width * scale); x++) {
        const [left, right, aside] = between((x + 0.5) / scale - 0.5, width)
        for (let channel = 0; channel < 3; channel++) {
          const at = (row: number, column: number): number => rgb[3 * (row * width + column) + 2 - channel]!
          const upper = at(top, left) * (1 - aside) + at(top, right) * aside
          const lower = at(bottom, left) * (1 - aside) + at(bottom, right) * aside
          data[(index * 3 + channel) * plane + y * SIDE + x] = Math.round(upper * (1 - below) + lower * below)
        }
      }
    }
  }
  return { type: 'float32', dims: [frames.length, 3, SIDE, SIDE], data }
}

function scaleOf({ width, height }: Frame): number {
  return Math.min(SIDE / width, SIDE / height)
}

/** The two neighbours of a place, and how far it is towards the second. */
function between(place: number, size: number): [number, number, number] {
  const inside = Math.min(Math.max(place, 0), size - 1)
  const low = Math.floor(inside)
  return [low, Math.min(low + 1, size - 1), inside - low]
}

/** Of each frame, the surest first. `output`: [frames, 3549, 85], which is centre, size, something there, 80 classes. */
export function boxesOf(output: Tensor, frames: readonly Frame[]): Box[][] {
  const cells = STRIDES.flatMap((stride) =>
    Array.from({ length: (SIDE / stride) ** 2 }, (_, index) => {
      const across = SIDE / stride
      return { stride, x: index % across, y: Math.floor(index / across) }
    }),
  )
  const data = output.data as Float32Array
  return frames.map((frame, index) => {
    const found = cells.flatMap(({ stride, x, y }, cell): Box[] => {
      const row = data.subarray((index * cells.length + cell) * ROW, (index * cells.length + cell + 1) * ROW)
      const classes = row.subarray(5)
      const best = classes.indexOf(Math.max(...classes))
      const score = row[4]! * classes[best]!
      if (score < SURE) return []
      const [width, height] = [Math.exp(row[2]!) * stride, Math.exp(row[3]!) * stride]
      const [left, top] = [(row[0]! + x) * stride - width / 2, (row[1]! + y) * stride - height / 2]
      const scale = scaleOf(frame)
      const label = LABELS.get(best) ?? `class ${best}`
      return [{ label, score, box: [left / scale, top / scale, width / scale, height / scale] }]
    })
    return best(found)
  })
}

/** Non-maximum suppression. */
function best(found: readonly Box[]): Box[] {
  const kept: Box[] = []
  for (const candidate of found.toSorted((a, b) => b.score - a.score)) {
    const known = kept.some((one) => one.label === candidate.label && overlap(one, candidate) > SAME_THING)
    if (!known) kept.push(candidate)
  }
  return kept
}

/** What two boxes share, of what they cover together. */
export function overlap({ box: a }: Pick<Box, 'box'>, { box: b }: Pick<Box, 'box'>): number {
  const side = (axis: 0 | 1): number =>
    Math.max(0, Math.min(a[axis] + a[axis + 2]!, b[axis] + b[axis + 2]!) - Math.max(a[axis], b[axis]))
  const shared = side(0) * side(1)
  return shared / (a[2] * a[3] + b[2] * b[3] - shared)
}
