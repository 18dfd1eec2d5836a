/** What a host says of how rows ran, as counters. */
import type { Frame } from '../../net/index.ts'
import { HOST, RUN } from '../host/protocol.ts'

const COUNTERS = [
  [RUN.batched, 'batched_rows'],
  [RUN.single, 'single_rows'],
  [RUN.spun, 'spun_rows'],
  [RUN.narrow, 'narrow_rows'],
  [RUN.yielded, 'yielded_rows'],
  [RUN.pieces, 'pieced_rows'],
  [RUN.fitted, 'fitted_rows'],
  [RUN.gathered, 'gathered_rows'],
] as const

export function countRows({ type, flags, rows }: Frame, count: (name: string, by: number) => void): void {
  if (type === HOST.void) count('void_rows', rows)
  if ((flags & RUN.dropped) !== 0) return
  count('rows', rows)
  for (const [flag, name] of COUNTERS) if ((flags & flag) !== 0) count(name, rows)
}
