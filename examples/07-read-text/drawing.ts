/** A page to read: text drawn with a pen, so that no picture and no font is needed. */

export interface Picture {
  readonly width: number
  readonly height: number
  /** [height][width], 0 black to 255 white. */
  readonly grey: Float32Array
}

/** Strokes through points (x, y) on a grid 4 wide and 6 high, y down; a space lifts the pen. */
const STROKES: Readonly<Record<string, string>> = {
  A: '062046 1434',
  B: '06003041423303 3344453606',
  C: '4130100105163645',
  D: '00062644422000',
  E: '40000646 0333',
  F: '400006 0333',
  G: '41301001051636454323',
  H: '0006 4046 0343',
  I: '0006',
  J: '4045361605',
  K: '0006 4004 1346',
  L: '000646',
  M: '0600244046',
  N: '06004640',
  O: '103041453616050110',
  P: '06003041423303',
  Q: '103041453616050110 2446',
  R: '06003041423303 2346',
  S: '413010010213334445361605',
  T: '0040 2026',
  U: '000516364540',
  V: '002640',
  W: '0016223640',
  X: '0046 4006',
  Y: '002340 2326',
  Z: '00400646',
  0: '102031352616050110',
  1: '011016',
  2: '01103041420646',
  3: '01103041423323 334445361605',
  4: '36300444',
  5: '400002324345361605',
  6: '4130100105163645443303',
  7: '004016',
  8: '13020110304142331304051636454433',
  9: '05163645413010010213 1343',
}
const [PAPER, INK] = [232, 24]
/** Of a stroke's half, and between two letters, in units of the grid. */
const [PEN, GAP, BLANK] = [0.42, 1.7, 6]

type Segment = readonly [number, number, number, number]

/**
 * One line of text below the other, each a little larger than the one before.
 * @throws Error for a letter that nobody taught it
 */
export function draw(lines: readonly string[]): Picture {
  const sizes = lines.map((_, index) => 4 + 0.6 * index)
  const needed = sizes.reduce((sum, size) => sum + 10 * size, 24)
  const segments = lines.map(segmentsOf)
  const widest = segments.map(
    (line, index) => Math.max(...line.map(([from, , to]) => Math.max(from, to))) * sizes[index]!,
  )
  // The detector halves a picture five times.
  const [width, height] = [32 * Math.ceil((Math.max(...widest) + 48) / 32), 32 * Math.ceil(needed / 32)]
  const grey = new Float32Array(width * height).fill(PAPER)
  let top = 24
  for (const [index, line] of segments.entries()) {
    const size = sizes[index]!
    for (const segment of line) {
      const [fromX, fromY, toX, toY] = segment.map((value) => value * size) as [number, number, number, number]
      const reach = PEN * size + 1
      for (let y = Math.floor(Math.min(fromY, toY) - reach); y <= Math.max(fromY, toY) + reach; y++) {
        for (let x = Math.floor(Math.min(fromX, toX) - reach); x <= Math.max(fromX, toX) + reach; x++) {
          const covered = Math.min(Math.max(PEN * size - distance(x, y, fromX, fromY, toX, toY) + 0.5, 0), 1)
          const at = (Math.round(top) + y) * width + 24 + x
          grey[at] = Math.min(grey[at]!, PAPER + (INK - PAPER) * covered)
        }
      }
    }
    top += 10 * size
  }
  return { width, height, grey }
}

function segmentsOf(line: string): Segment[] {
  const segments: Segment[] = []
  let left = 0
  for (const letter of line.toUpperCase()) {
    const strokes = STROKES[letter]
    if (letter !== ' ' && strokes === undefined) throw new Error(`no strokes are known for ${JSON.stringify(letter)}`)
    let right = letter === ' ' ? BLANK - GAP : 0
    for (const stroke of (strokes ?? '').split(' ')) {
      const points = [...stroke.matchAll(/(\d)(\d)/g)].map(([, x, y]) => [Number(x), Number(y)] as const)
      for (const [index, [x, y]] of points.entries()) {
        right = Math.max(right, x)
        const [nextX, nextY] = points[index + 1] ?? [x, y]
        segments.push([left + x, y, left + nextX, nextY])
      }
    }
    left += right + GAP
  }
  return segments
}

/** Of a point from a segment. */
function distance(x: number, y: number, fromX: number, fromY: number, toX: number, toY: number): number {
  const [alongX, alongY] = [toX - fromX, toY - fromY]
  const length = alongX * alongX + alongY * alongY
  const along = length === 0 ? 0 : ((x - fromX) * alongX + (y - fromY) * alongY) / length
  const share = Math.min(Math.max(along, 0), 1)
  return Math.hypot(x - fromX - share * alongX, y - fromY - share * alongY)
}
