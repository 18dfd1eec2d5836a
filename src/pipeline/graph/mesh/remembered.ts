/**
 * The parts of graphs that a placement gave to this peer, as their deployer cut them: kept in the home, so that a peer
 * that was started again loads them by itself. One a place, the skeleton beside what places it.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { writeFileAtomic } from '../../../store/index.ts'
import { decodePart } from './protocol.ts'
import type { FlowOpen } from './protocol.ts'

/** What a part is, without the request that opened it first. */
export type PartFacts = Pick<FlowOpen, 'digest' | 'blocks' | 'weights' | 'optimization'>

export interface Remembered {
  /** As `partKey` has it. */
  readonly key: string
  readonly facts: PartFacts
  readonly skeleton: () => Promise<Uint8Array>
}

/** A model has a place or a few at a peer; what is beyond was of placements that are long gone. */
const MOST = 64
const MAX_RECORD_BYTES = 1 << 24
const NAME = /^([0-9a-f]{64})\.json$/

const recordSchema = z.strictObject({
  schema: z.literal('weft.graph-part/1'),
  key: z.hash('sha256'),
  part: z.unknown(),
})

/** Parts with one key compute the same bits. */
export function partKey({ weights, optimization }: PartFacts, skeleton: Uint8Array): string {
  return createHash('sha256')
    .update(skeleton)
    .update(JSON.stringify([weights, optimization]))
    .digest('hex')
}

/** Blocks of a model that a placement may give to a peer. */
interface Place {
  readonly digest: string
  readonly blocks: readonly [from: number, to: number]
}

/** Parts of one place take each other's room. */
export function placeOf({ digest, blocks }: Place): string {
  return `${digest} ${blocks.join(' ')}`
}

export class RememberedParts {
  readonly #directory: string
  /** What was written last, by place: the same again is not. */
  readonly #written = new Map<string, string>()

  /** @param directory made when something is kept */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** Takes the place of what was remembered for the same place. @throws DiskFullError, StoreUnwritableError */
  async keep({ digest, blocks, weights, optimization }: PartFacts, skeleton: Uint8Array): Promise<void> {
    const facts: PartFacts = { digest, blocks, weights, optimization }
    const key = partKey(facts, skeleton)
    const place = placeOf(facts)
    if (this.#written.get(place) === key) return
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    // The skeleton first: a record without one is passed over, one with another is too.
    await writeFileAtomic(this.#path(place, 'onnx'), skeleton, { mode: 0o600 })
    const record = { schema: 'weft.graph-part/1', key, part: facts }
    await writeFileAtomic(this.#path(place, 'json'), JSON.stringify(record), { mode: 0o600 })
    this.#written.set(place, key)
    await this.#dropOldest()
  }

  async forget(facts: Place): Promise<void> {
    const place = placeOf(facts)
    this.#written.delete(place)
    for (const kind of ['json', 'onnx'] as const) await rm(this.#path(place, kind), { force: true })
  }

  /** Those whose record is whole. A damaged one is no error: the next request brings the part again. */
  async list(): Promise<Remembered[]> {
    const names = await readdir(this.#directory).catch((): string[] => [])
    const found = await Promise.all(names.filter((name) => NAME.test(name)).map((name) => this.#read(name)))
    return found.filter((one) => one !== undefined)
  }

  async #read(name: string): Promise<Remembered | undefined> {
    const path = join(this.#directory, name)
    try {
      if ((await stat(path)).size > MAX_RECORD_BYTES) return undefined
      const { key, part } = recordSchema.parse(JSON.parse(await readFile(path, 'utf8')))
      const facts = decodePart(part)
      if (path !== this.#path(placeOf(facts), 'json')) return undefined
      return { key, facts, skeleton: async () => Uint8Array.from(await readFile(this.#path(placeOf(facts), 'onnx'))) }
    } catch {
      return undefined
    }
  }

  async #dropOldest(): Promise<void> {
    const names = (await readdir(this.#directory)).filter((name) => NAME.test(name))
    if (names.length <= MOST) return
    const aged = await Promise.all(
      names.map(async (name) => ({ name, at: (await stat(join(this.#directory, name))).mtimeMs })),
    )
    for (const { name } of aged.toSorted((one, other) => other.at - one.at).slice(MOST)) {
      await rm(join(this.#directory, name), { force: true })
      await rm(join(this.#directory, name.replace(/json$/, 'onnx')), { force: true })
    }
  }

  #path(place: string, kind: 'json' | 'onnx'): string {
    return join(this.#directory, `${createHash('sha256').update(place).digest('hex')}.${kind}`)
  }
}
