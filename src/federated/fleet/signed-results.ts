/** Signed results of the last rounds of a job, as files: `signed-NNNNNNNNNN.json`, by the number of sums. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { needFolders, writeFileAtomic } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import type { RoundResult } from '../rounds/signed-result.ts'
import type { Vote } from '../rounds/wire.ts'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const peer = z.string().max(128)
const signedSchema = z.strictObject({
  result: z.strictObject({
    schema: z.literal('weft.fed-signed-result/1'),
    job: z.string().max(128),
    plan: hash,
    step: z.int().min(1),
    session: z.int().min(0),
    model: hash,
    transcript: hash,
    members: z.array(peer).max(4096),
  }),
  signatures: z.array(z.strictObject({ peer, signature: z.string().regex(/^[0-9a-f]{128}$/) })).max(4096),
})

export interface SignedResult {
  readonly result: RoundResult
  readonly signatures: readonly Vote[]
}

export const SIGNED_FILE: RegExp = /^signed-(\d{10})\.json$/
/** A few kilobytes each. */
const MOST_KEPT = 1000

/** Undefined: the bytes are none. */
export function readSigned(bytes: Uint8Array): SignedResult | undefined {
  try {
    const { result, signatures } = signedSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
    const of = signatures.map((one) => ({ ...one, signature: new Uint8Array(Buffer.from(one.signature, 'hex')) }))
    return { result, signatures: of }
  } catch {
    return undefined
  }
}

const fileOf = (step: number): string => `signed-${String(step).padStart(10, '0')}.json`

export class SignedResults {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** With the signatures of before, where it is the same result. */
  async add({ result, signatures }: SignedResult): Promise<void> {
    await needFolders(this.#folder, 0o700)
    const path = join(this.#folder, fileOf(result.step))
    const before = await readFile(path).then(
      (bytes) => readSigned(bytes),
      () => undefined,
    )
    const isSame = before !== undefined && canonicalJson(before.result) === canonicalJson(result)
    const all = new Map([...(isSame ? before.signatures : []), ...signatures].map((one) => [one.peer, one.signature]))
    const list = [...all]
      .map(([by, signature]) => ({ peer: by, signature: Buffer.from(signature).toString('hex') }))
      .sort((left, right) => (left.peer < right.peer ? -1 : 1))
    await writeFileAtomic(path, Buffer.from(`${JSON.stringify({ result, signatures: list }, null, 2)}\n`))
    const old = (await this.#names()).slice(0, -MOST_KEPT)
    await Promise.all(old.map((each) => rm(join(this.#folder, each), { force: true })))
  }

  /** What came of this many sums, where this member signed it. */
  async at(step: number): Promise<RoundResult | undefined> {
    const bytes = await readFile(join(this.#folder, fileOf(step))).catch(() => undefined)
    return bytes === undefined ? undefined : readSigned(bytes)?.result
  }

  /** In the order of rounds. */
  async files(): Promise<{ readonly name: string; readonly path: string }[]> {
    return (await this.#names()).map((name) => ({ name, path: join(this.#folder, name) }))
  }

  async #names(): Promise<string[]> {
    const names = await readdir(this.#folder).catch((): string[] => [])
    return names.filter((name) => SIGNED_FILE.test(name)).sort()
  }
}
