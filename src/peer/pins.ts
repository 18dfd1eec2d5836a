/** Models that a person wants to stay on this disk, whatever the quota: `weft pin`. Kept in the mesh home. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../store/index.ts'

/** Each was typed by a person. */
const MAX_PINS = 4096

const schema = z.strictObject({
  schema: z.literal('weft.pins/1'),
  digests: z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(MAX_PINS),
})

export class Pins {
  readonly #path: string
  readonly #digests: Set<string>

  private constructor(path: string, digests: readonly string[]) {
    this.#path = path
    this.#digests = new Set(digests)
  }

  /** A file that cannot be read pins nothing; the line says so. */
  static async open(directory: string, log: (line: string) => void): Promise<Pins> {
    const path = join(directory, 'pins.json')
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text === undefined) return new Pins(path, [])
    try {
      return new Pins(path, schema.parse(JSON.parse(text)).digests)
    } catch {
      log('the list of pinned models is damaged: nothing is pinned until weft pin is run again')
      return new Pins(path, [])
    }
  }

  has(digest: string): boolean {
    return this.#digests.has(digest)
  }

  async set(digest: string, pinned: boolean): Promise<void> {
    if (pinned) this.#digests.add(digest)
    else this.#digests.delete(digest)
    const digests = [...this.#digests].slice(-MAX_PINS)
    await writeFileAtomic(this.#path, JSON.stringify({ schema: 'weft.pins/1', digests }, null, 2))
  }
}
