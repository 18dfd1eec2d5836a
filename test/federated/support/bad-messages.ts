/** Messages of each kind, spoilt in each field: what a broken or hostile peer may send. */
import { createSeeded } from '../../../src/data/index.ts'
import type { Message } from '../../../src/federated/index.ts'

const ODD: readonly unknown[] = [null, 'x', -1, 2 ** 40, Number.NaN, 1.5, {}, [], new Uint8Array(3), 'y'.repeat(5000)]

/** Paths of all leaves: of lists the first entry stands for all. */
function leaves(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return [path]
  const entries = Array.isArray(value) ? [[0, (value as unknown[])[0]] as const] : Object.entries(value)
  return [path, ...entries.flatMap(([key, inner]) => (inner === undefined ? [] : leaves(inner, [...path, key])))]
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return by
  if (Array.isArray(value))
    return value.map((each, index) => (index === key ? replaced(each, rest, by) : (each as unknown)))
  const record = value as Record<string, unknown>
  return { ...record, [key]: replaced(record[key], rest, by) }
}

/** One of the ways in which a message can be wrong. */
export function spoilt({ kind, body, payload }: Message, seed: number): Message {
  const seeded = createSeeded(seed, kind)
  const paths = leaves(body)
  // Bytes that are too few, too many, or others.
  if (payload.length > 0 && seeded.below(2) === 0) {
    const way = seeded.below(3)
    if (way === 0) return { kind, body, payload: payload.subarray(0, seeded.below(payload.length)) }
    if (way === 1) return { kind, body, payload: new Uint8Array(Buffer.concat([payload, Buffer.alloc(5, 255)])) }
    return { kind, body, payload: payload.map(() => seeded.below(256)) }
  }
  const path = paths[seeded.below(paths.length)]!
  const by = ODD[seeded.below(ODD.length)]
  return { kind, body: replaced(body, path, by) as Message['body'], payload }
}
