/** What the readers of the parts of a model share while one file is read. */
import type { ExternalFiles } from './external-data.ts'
import { OnnxLimitError } from './errors.ts'
import type { ReadLimits } from './limits.ts'
import type { WireReader } from './wire-reader.ts'

export interface Reading {
  readonly wire: WireReader
  readonly limits: ReadLimits
  readonly external: ExternalFiles
  /** How many there were so far. */
  readonly counts: { nodes: number; tensors: number }
}

/** An estimate of what an object of the model takes beside its names and bytes. */
export const OBJECT_BYTES = 128
/** The same for an element of a list. */
export const ELEMENT_BYTES = 16

export function count({ wire, limits, counts }: Reading, what: 'nodes' | 'tensors'): void {
  counts[what] += 1
  if (counts[what] > limits[what]) throw new OnnxLimitError(wire.path, what, limits[what])
  wire.hold(OBJECT_BYTES)
}

/** StringStringEntryProto, many to a map; a key that comes again counts. */
export function readEntry({ wire }: Reading, into: Map<string, string>): void {
  wire.hold(OBJECT_BYTES)
  wire.message('entry', () => {
    let key = ''
    let value = ''
    while (wire.next()) {
      if (wire.field === 1) key = wire.string()
      else if (wire.field === 2) value = wire.string()
      else wire.skip()
    }
    into.set(key, value)
  })
}

/** One more text of a list. */
export function readText({ wire }: Reading, into: string[]): void {
  wire.hold(ELEMENT_BYTES)
  into.push(wire.string())
}
