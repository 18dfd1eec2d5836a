/** What looking at rows costs at the door of a stage: microseconds a row, by width and type of the boundary. */
import { cpus } from 'node:os'
import { DTYPE, frame } from '../src/net/index.ts'
import { RING } from '../src/pipeline/ring/protocol.ts'
import { areFinite, RowCheck } from '../src/pipeline/ring/row-check.ts'

const WIDTHS = [192, 576, 2_048, 4_096]
const ROUNDS = 300

const gate = { levels: () => ({ low: -4, high: 4 }) }
const check = new RowCheck({
  gate,
  self: 'self',
  origin: 'o',
  digest: 'a'.repeat(64),
  from: 4,
  to: 8,
  isAdapted: false,
  isAudited: false,
})

function microseconds(work: () => unknown, rows: number): number {
  for (let round = 0; round < ROUNDS; round++) work()
  const started = process.hrtime.bigint()
  for (let round = 0; round < ROUNDS; round++) work()
  return Number(process.hrtime.bigint() - started) / 1_000 / ROUNDS / rows
}

process.stdout.write(`${cpus()[0]?.model ?? 'unknown'}, node ${process.version}\n`)
process.stdout.write('type width  rows  door us/row  exit us/row\n')
for (const type of ['f16', 'f32'] as const) {
  for (const width of WIDTHS) {
    for (const rows of [1, 128]) {
      const values = Array.from({ length: width * rows }, (_, at) => Math.sin(at) * 2)
      const payload = new Uint8Array((type === 'f16' ? Float16Array.from(values) : Float32Array.from(values)).buffer)
      const message = frame({ type: RING.rows, dtype: DTYPE[type], dims: [rows, width], payload })
      const door = microseconds(() => check.refuses('other', message), rows)
      const exit = microseconds(() => areFinite(message), rows)
      const cells = [type, width, rows, door.toFixed(2), exit.toFixed(2)] as const
      process.stdout.write(`${cells[0].padEnd(4)} ${String(cells[1]).padStart(5)} ${String(cells[2]).padStart(5)} `)
      process.stdout.write(`${cells[3].padStart(12)} ${cells[4].padStart(12)}\n`)
    }
  }
}
